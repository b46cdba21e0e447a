"""The demo walks the whole road from video files, says so, and uses again what it has finished."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from wtal.cli.demo import panels, run_demo
from wtal.data.dataset import load_dataset
from wtal.data.synthetic.videos import MovieConfig

SMALL = MovieConfig(training=5, validation=5, testing=5, seconds=(4.0, 6.0), actions=(1, 1), size=(48, 36))


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool, str]:
    """Its folder, its verdict and what it said."""
    out = tmp_path_factory.mktemp("demo")
    return out, *demo(out)


def demo(out: Path) -> tuple[bool, str]:
    console = Console(file=io.StringIO(), width=100)
    verdict = run_demo(out, console, SMALL, seeds=1, steps=3)
    return verdict, console.file.getvalue()


def test_it_ends_with_a_picture_and_a_verdict(walked):
    out, verdict, said = walked
    assert (out / "timelines.png").read_bytes().startswith(b"\x89PNG")
    scores = json.loads((out / "runs" / "comparison.json").read_text())
    assert len(list((out / "movies" / "data" / "features").glob("*.npy"))) == 15
    baseline, dfe = (method["mean"] for method in scores["scores"])
    assert verdict == (dfe > baseline)
    assert f"DFE ({dfe:.1f}) is {'ahead of' if verdict else 'NOT ahead of'} the baseline ({baseline:.1f})" in said


def test_training_sees_no_time(walked):
    folder = load_dataset(walked[0] / "movies" / "data")
    assert not any(video.segments for video in folder.subset("training"))
    assert all(video.segments for video in folder.subset("testing"))


def test_the_commands_that_it_names_are_right(walked):
    out, _, said = walked
    movies = out / "movies"
    assert f"wtal init {movies / 'data'} --videos {movies / 'videos'} --tags {movies / 'tags.csv'}\n" in said
    assert f"wtal extract {movies / 'data'}\n" in said
    words = said.partition("next: wtal predict ")[2].split()
    assert Path(words[0]).is_file() and Path(words[2]).is_dir()


def test_panels_show_those_with_most_classes(walked):
    folder = load_dataset(walked[0] / "movies" / "data")
    shown = panels(walked[0] / "runs" / "data" / "dfe" / "seed-0", folder, count=2)
    most = sorted((len(video.labels) for video in folder.subset("testing")), reverse=True)
    assert [len({action.label for action in panel.truth}) for panel in shown] == most[:2]
    for panel in shown:
        assert len(panel.times) == len(panel.attention) + 1 == len(panel.cas) + 1
        assert panel.times[-1] == pytest.approx(panel.duration)


def test_a_second_call_makes_nothing_again(walked):
    out, verdict, _ = walked
    made = [
        *(out / "movies").rglob("*.mp4"),
        *(out / "movies").rglob("*.npy"),
        *(out / "runs").rglob("*.safetensors"),
    ]
    before = {path: path.stat().st_mtime_ns for path in made}
    again, said = demo(out)
    assert again == verdict and "wtal extract" in said
    assert {path: path.stat().st_mtime_ns for path in made} == before and len(made) > 30
