"""Progress: lines in a log, a bar in a terminal."""

import io

import pytest
from rich.console import Console

from wtal.reporting.progress import count_progress, extraction_progress, runs_progress, training_progress
from wtal.video.extract_dataset import ExtractionProgress


def console(terminal: bool = False, width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width)


def test_log_has_the_first_and_the_last_step():
    log = console()
    with training_progress(3, log) as on_progress:
        for step in (1, 2, 3):
            on_progress(step, {"loss": 2.0 / step, "mil": 1.0})
    assert log.file.getvalue().splitlines() == [
        "training 1/3  loss 2.000  mil 1.000",
        "training 3/3  loss 0.667  mil 1.000",
    ]


def test_log_has_every_run():
    log = console()
    with runs_progress(log) as on_progress:
        on_progress("dfe seed 0", 1, 2)
        on_progress("dfe seed 1", 2, 2)
    assert log.file.getvalue().splitlines() == ["runs 1/2  dfe seed 0", "runs 2/2  dfe seed 1"]


def test_short_work_leaves_no_line_in_a_log():
    log = console()
    with count_progress("reading", log) as on_count, extraction_progress(log, brief=True) as on_video:
        on_count(1, 1)
        on_video(ExtractionProgress(2, 2, (("a", 10.0),)))
    assert log.file.getvalue() == ""


@pytest.mark.parametrize("width", [60, 200])
def test_bar_shows_as_many_losses_as_fit(width):
    terminal = console(terminal=True, width=width)
    with training_progress(10, terminal) as on_progress:
        on_progress(10, {"loss": 1.0, "mil": 0.5, "co_activity": 0.25})
    text = terminal.file.getvalue()
    assert "10/10" in text and "loss 1.000" in text and ("co_activity 0.250" in text) == (width == 200)
