"""Runs to report on."""

from pathlib import Path

import pytest

from tests.helpers.executor import InProcessExecutor
from wtal.experiments.compare import compare


@pytest.fixture(scope="package")
def runs(tiny, settings, tmp_path_factory) -> Path:
    """A comparison of two methods over two seeds."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wtal.core.concurrency.ProcessPoolExecutor", InProcessExecutor)
        compare(tiny.path, out, ("baseline", "dfe"), 2, "testing", settings(train={"steps": 2}))
    return out
