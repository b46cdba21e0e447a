"""The demo runs every step from video files, prints the commands, and reuses what it has finished."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from wtal.cli.demo import collect_timelines, run_demo
from wtal.data.dataset import load_dataset
from wtal.data.synthetic.videos import MovieConfig

SMALL = MovieConfig(training=5, validation=5, testing=5, seconds=(4.0, 6.0), actions=(1, 1), size=(48, 36))


def run(out: Path) -> tuple[bool, str]:
    """The return value of the demo and its output."""
    console = Console(file=io.StringIO(), width=100)
    is_above = run_demo(out, console, SMALL, seeds=1, steps=3)
    return is_above, console.file.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool, str]:
    """The demo's folder, return value and output."""
    out = tmp_path_factory.mktemp("demo")
    return out, *run(out)


def test_demo_writes_figure_report_and_scores(finished):
    out, is_above, output = finished
    assert (out / "timelines.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "report.html").is_file()
    scores = json.loads((out / "runs" / "comparison.json").read_text())
    assert len(list((out / "movies" / "data" / "features").glob("*.npy"))) == 15
    baseline, dfe = (method["mean"] for method in scores["scores"])
    assert is_above == (dfe > baseline)
    assert f"{dfe:.1f}" in output and f"{baseline:.1f}" in output


def test_training_videos_have_tags_only(finished):
    dataset = load_dataset(finished[0] / "movies" / "data")
    assert not any(video.segments for video in dataset.subset("training"))
    assert all(video.segments for video in dataset.subset("testing"))


def test_printed_commands_name_existing_paths(finished):
    out, _, output = finished
    movies = out / "movies"
    assert f"wtal init {movies / 'data'} --videos {movies / 'videos'} --tags {movies / 'tags.csv'}\n" in output
    assert f"wtal extract {movies / 'data'} --backbone tiny\n" in output
    words = output.partition("next: wtal predict ")[2].split()
    assert Path(words[0]).is_file() and Path(words[2]).is_dir()


def test_timelines_show_the_videos_with_most_classes(finished):
    dataset = load_dataset(finished[0] / "movies" / "data")
    timelines = collect_timelines(finished[0] / "runs" / "data" / "dfe" / "seed-0", dataset, count=2)
    class_counts = sorted((len(video.labels) for video in dataset.subset("testing")), reverse=True)
    assert [len({segment.label for segment in timeline.ground_truth}) for timeline in timelines] == class_counts[:2]
    for timeline in timelines:
        assert len(timeline.times) == len(timeline.attention) + 1 == len(timeline.cas) + 1
        assert timeline.times[-1] == pytest.approx(timeline.duration)


def test_second_call_reuses_everything(finished):
    out, is_above, _ = finished
    files = [
        *(out / "movies").rglob("*.mp4"),
        *(out / "movies").rglob("*.npy"),
        *(out / "runs").rglob("*.safetensors"),
    ]
    times = {path: path.stat().st_mtime_ns for path in files}
    assert run(out)[0] == is_above
    assert {path: path.stat().st_mtime_ns for path in files} == times and len(files) > 30
