"""Files of every kind that are changed at random are read, or refused with one sentence; see docs/security.md."""

import json
import random
from functools import partial
from pathlib import Path

import pytest

from tests.fuzz import runner
from tests.fuzz.corpus import Kind, kinds, write_corpus
from tests.fuzz.mutations import mutate
from tests.fuzz.runner import FAILED, READ, REFUSED, make_input

SLOW_KIND = "wtalc"  # starts a process for each array
NUM_INPUTS = 300


@pytest.fixture(scope="module")
def corpus(own_videos, tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz") / "corpus"
    root.mkdir()
    write_corpus(root, own_videos)
    return root


def test_changed_files_are_read_or_refused(corpus, own_videos, monkeypatch):
    monkeypatch.setattr(runner, "MAX_SECONDS", 60.0)  # on a busy machine
    names = list(kinds(corpus, own_videos))
    quick = [n for n in range(NUM_INPUTS) if n < len(names) or SLOW_KIND not in names[n % len(names)]]
    outcomes = list(runner.run(corpus, own_videos, quick))
    assert sorted(outcome.number for outcome in outcomes) == quick
    assert not [outcome for outcome in outcomes if outcome.result == FAILED]
    assert all(outcome.result == READ for outcome in outcomes if outcome.number < len(names)), "valid files are read"
    assert sum(outcome.result == REFUSED for outcome in outcomes) > NUM_INPUTS / 4


def test_inputs_are_reproducible(corpus, own_videos):
    kinds_by_name = kinds(corpus, own_videos)
    first, again, other = (make_input(kinds_by_name, 70, seed) for seed in (0, 0, 1))
    assert first == again and first[0] == other[0] and first[1] != other[1]


@pytest.mark.parametrize("content", [b"", b"abc", bytes(range(256)) * 9, json.dumps({"a": [1, {"b": "x"}]}).encode()])
def test_changes_are_bounded(content):
    for number in range(300):
        assert len(mutate(content, random.Random(number))) < 300_000


FAULTS = {
    "traceback": "raise KeyError('x')",
    "hang": "import time; time.sleep(99)",
    "memory": "[bytearray(200 << 20) for _ in range(20)]",
    "crash": "import os; os.abort()",
    "two lines": "from wtal.core.errors import DataError; raise DataError('x', hint='y\\nz')",
}


def faulty_kinds(root: Path, own_videos: Path) -> dict[str, Kind]:
    """Kinds whose reader fails in a certain way."""
    return {name: Kind(root, "file", partial(run_code, code)) for name, code in FAULTS.items()}


def run_code(code: str, folder: Path) -> None:
    exec(code)


@pytest.mark.slow
def test_faults_are_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "MAX_SECONDS", 2.0)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "file").write_text("x")
    outcomes = runner.run(tmp_path / "corpus", tmp_path, range(len(FAULTS)), find_kinds=faulty_kinds)
    details = {outcome.kind: outcome.detail for outcome in outcomes if outcome.result == FAILED}
    assert details.keys() == FAULTS.keys()
    assert "KeyError" in details["traceback"] and "longer" in details["hang"] and "died" in details["crash"]
    assert "MemoryError" in details["memory"]
