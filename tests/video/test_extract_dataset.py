"""Extracting the features of a data set folder: only missing features are extracted, failures are listed."""

import io
import json
import shutil
import signal
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from typer.testing import CliRunner

from tests.helpers.backbones import CrashOnWhite
from tests.helpers.errors import raises
from tests.helpers.processes import interrupt, start_wtal, wait_until
from tests.helpers.video import gray, render
from tests.video.conftest import SHORT_VIDEOS, moving_texture
from wtal.cli import app
from wtal.core.errors import ConfigError, DataError
from wtal.core.hardware import Ram
from wtal.data.dataset import load_dataset
from wtal.video.backbones.base import BackboneOptions
from wtal.video.backbones.cache import cached_weights
from wtal.video.backbones.handcrafted import Tiny
from wtal.video.backbones.registry import BACKBONES
from wtal.video.extract_dataset import EXECUTORS, ExtractionProgress, ExtractionSummary, extract_dataset
from wtal.video.local_executor import ExtractionOutcome, default_workers

GOOD_NAMES = [f"good{i}.mp4" for i in range(SHORT_VIDEOS)]
TINY = BackboneOptions("tiny")


def create_folder(folder: Path, videos: Path, names: list[str]) -> Path:
    """The files that `wtal init` writes."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = {Path(name).stem: name for name in names}
    entries = {id: {"subset": "training", "annotations": [{"label": f"class{i % 2}"}]} for i, id in enumerate(ids)}
    (folder / "videos.json").write_text(json.dumps({"folder": str(videos), "files": ids}))
    (folder / "annotations.json").write_text(json.dumps({"database": entries}))
    (folder / "dataset.json").write_text(json.dumps({"classes": ["class0", "class1"]}))
    return folder


def write_bad_videos(folder: Path) -> list[str]:
    """Add files that are not readable videos; returns their names, with one that does not exist."""
    content = (folder / "good0.mp4").read_bytes()
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "truncated.mp4").write_bytes(content[: len(content) // 2])
    (folder / "header.mp4").write_bytes(content[:40])
    (folder / "random.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "text.mp4").write_text("dear diary\n" * 100)
    png = io.BytesIO()
    image.imsave(png, np.zeros((8, 8, 3)), format="png")
    (folder / "image.mp4").write_bytes(png.getvalue())
    with wave.open(str(folder / "audio.mp4"), "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(8000)
        audio.writeframes(bytes(16000))
    fast_start = {"movflags": "faststart"}
    no_frames = render(folder / "no_frames.mp4", moving_texture(2, 0), fps=10, container_options=fast_start)
    no_frames.write_bytes(no_frames.read_bytes().partition(b"mdat")[0] + b"mdat")
    (folder / "folder.mp4").mkdir()
    names = ["empty", "truncated", "header", "random", "text", "image", "audio", "no_frames", "folder", "missing"]
    return [f"{name}.mp4" for name in names]


def test_good_videos_are_extracted_and_bad_videos_are_listed(short_videos, tmp_path):
    videos = shutil.copytree(short_videos, tmp_path / "videos")
    bad_names = write_bad_videos(videos)
    folder = create_folder(tmp_path / "data", videos, [*GOOD_NAMES, *bad_names])

    first = CliRunner().invoke(app, ["extract", str(folder), "--backbone", "tiny"])
    assert first.exit_code == 2
    failed = json.loads((folder / "failed.json").read_text())
    assert failed.keys() == {Path(name).stem for name in bad_names}
    for name in bad_names:
        message = failed[Path(name).stem]
        assert message.startswith(f"{videos / name}: ") and message in first.output
    assert {v.id for v in load_dataset(folder).videos} == {Path(name).stem for name in GOOD_NAMES}
    assert {p.suffix for p in (folder / "features").iterdir()} == {".npy", ".json"}

    # The second run extracts what is missing and tries the failed videos again.
    times = {path.name: path.stat().st_mtime_ns for path in (folder / "features").glob("*.npy")}
    (folder / "features" / "good1.npy").unlink()
    shutil.copy(videos / "good0.mp4", videos / "missing.mp4")
    assert CliRunner().invoke(app, ["extract", str(folder)]).exit_code == 2
    new_times = {path.name: path.stat().st_mtime_ns for path in (folder / "features").glob("*.npy")}
    assert {name for name, time in new_times.items() if time != times.get(name)} == {"good1.npy", "missing.npy"}
    assert json.loads((folder / "failed.json").read_text()).keys() == failed.keys() - {"missing"}


def test_bad_video_in_a_folder_named_features_fails_alone(tmp_path, monkeypatch):
    videos = tmp_path / "my_features"
    videos.mkdir()
    (videos / "bad.mp4").write_bytes(b"")
    monkeypatch.chdir(create_folder(tmp_path / "data", videos, ["bad.mp4"]))
    assert extract_dataset(Path(), TINY).failed.keys() == {"bad"}


def test_unwritable_features_stop_the_extraction(short_videos, tmp_path):
    folder = create_folder(tmp_path / "data", short_videos, GOOD_NAMES)
    (folder / "features").write_text("a file instead of a folder")
    with pytest.raises(DataError) as caught:
        extract_dataset(folder, TINY, workers=1)
    assert str(caught.value.path).startswith(str(folder / "features"))


def test_damaged_features_and_features_of_changed_videos_are_extracted_again(short_videos, tmp_path):
    videos = shutil.copytree(short_videos, tmp_path / "videos")
    folder = create_folder(tmp_path / "data", videos, GOOD_NAMES)
    extract_dataset(folder, TINY)
    features = folder / "features"
    original = {path.name: path.read_bytes() for path in features.glob("*.npy")}
    (features / "good0.npy").write_bytes(original["good0.npy"][:-3])
    (features / "good1.json").write_text("{")
    shutil.copy(videos / "good3.mp4", videos / "good2.mp4")
    assert extract_dataset(folder, TINY).extracted == 3
    content = (videos / "good3.mp4").read_bytes()
    (videos / "good3.mp4").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # same length
    assert extract_dataset(folder, TINY).extracted == 1
    (videos / "good3.mp4").write_bytes(content)
    assert extract_dataset(folder, TINY).extracted == 1
    for name in ("good0.npy", "good1.npy", "good3.npy"):
        assert (features / name).read_bytes() == original[name]
    assert (features / "good2.npy").read_bytes() == original["good3.npy"]
    shutil.rmtree(videos)  # moved away: the features remain valid
    assert extract_dataset(folder, TINY) == ExtractionSummary(SHORT_VIDEOS, 0, {})


def test_failures_are_written_when_interrupted(tmp_path, monkeypatch):
    def interrupted(tasks, *_):
        yield ExtractionOutcome(tasks[0].id, DataError("is bad", path=tasks[0].video))
        raise KeyboardInterrupt

    monkeypatch.setitem(EXECUTORS, "interrupted", interrupted)
    folder = create_folder(tmp_path / "data", tmp_path, ["bad.mp4", "good0.mp4"])
    with pytest.raises(KeyboardInterrupt):
        extract_dataset(folder, TINY, engine="interrupted")
    assert json.loads((folder / "failed.json").read_text()) == {"bad": f"{tmp_path / 'bad.mp4'}: is bad"}


def test_features_do_not_depend_on_the_number_of_processes(short_videos, tmp_path):
    folders = {workers: create_folder(tmp_path / f"data{workers}", short_videos, GOOD_NAMES) for workers in (1, 3)}
    for workers, folder in folders.items():
        assert extract_dataset(folder, TINY, workers=workers).failed == {}
    for name in GOOD_NAMES:
        files = [(folder / "features" / name).with_suffix(".npy") for folder in folders.values()]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_crashed_process_fails_one_video_which_is_tried_again_later(short_videos, tmp_path, monkeypatch):
    videos = shutil.copytree(short_videos, tmp_path / "videos")
    render(videos / "white.mp4", [gray(255)] * 20, fps=10)
    folder = create_folder(tmp_path / "data", videos, ["good0.mp4", "white.mp4", "good1.mp4", "good2.mp4"])
    with monkeypatch.context() as patch:
        patch.setitem(BACKBONES, "tiny", CrashOnWhite)
        summary = extract_dataset(folder, TINY, workers=2)
    assert summary.failed.keys() == {"white"} and str(videos / "white.mp4") in summary.failed["white"]
    assert summary.available == 3
    assert extract_dataset(folder, TINY, workers=2) == ExtractionSummary(4, 1, {})


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_extraction_keeps_finished_videos(short_videos, tmp_path, stop_signal):
    folder = create_folder(tmp_path / "data", short_videos, GOOD_NAMES)
    setup = (
        "from tests.helpers.backbones import BlockAfterFirst\n"
        "from wtal.video.backbones.registry import BACKBONES\n"
        "BACKBONES['tiny'] = BlockAfterFirst"
    )
    process = start_wtal("extract", folder, "--backbone", "tiny", "--workers", 1, setup=setup)
    wait_until(lambda: list((folder / "features").glob("*.npy")))
    output = interrupt(process, stop_signal)
    assert process.returncode == 130 and "Traceback" not in output
    assert {path.suffix for path in (folder / "features").iterdir()} == {".npy", ".json"}
    assert extract_dataset(folder, TINY) == ExtractionSummary(SHORT_VIDEOS, SHORT_VIDEOS - 1, {})


def test_features_of_another_backbone_are_rejected(short_videos, tmp_path):
    folder = create_folder(tmp_path / "data", short_videos, ["good0.mp4"])
    extract_dataset(folder, TINY)
    description = json.loads((folder / "dataset.json").read_text())
    description["provenance"]["stride"] += 1
    (folder / "dataset.json").write_text(json.dumps(description))
    with raises(DataError, code="provenance-mismatch", path=folder):
        extract_dataset(folder, TINY)


class NamedI3D(Tiny):
    """Has the name of I3D and needs no weights."""

    name = "i3d"
    accepted_options = frozenset({"weights"})


def test_i3d_is_used_if_its_weights_are_there_and_a_folder_keeps_its_backbone(short_videos, tmp_path, monkeypatch):
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path))
    monkeypatch.setitem(BACKBONES, "i3d", NamedI3D)
    weights = cached_weights()

    def extract(folder: Path, *options: str) -> str:
        output = run_extract(folder, *options)
        assert f"backbone: {json.loads((folder / 'dataset.json').read_text())['provenance']['backbone']}\n" in output
        return output

    old, new, given = (create_folder(tmp_path / name, short_videos, ["good0.mp4"]) for name in ("old", "new", "given"))
    assert "wtal weights" in extract(old)
    assert "backbone: i3d" in extract(given, "--weights", str(weights)), "given weights are there too"
    weights.touch()
    assert "backbone: i3d" in extract(new)
    assert "backbone: tiny" in extract(old), "its features are of tiny"
    weights.unlink()
    assert "wtal weights" not in extract(new)
    shutil.rmtree(old / "features")
    weights.touch()
    assert "backbone: i3d" in extract(old), "a folder without features has no backbone"


def run_extract(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["extract", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_second_extraction_of_the_same_folder_is_rejected(short_videos, tmp_path):
    folder = create_folder(tmp_path / "data", short_videos, ["good0.mp4"])
    reports: list[ExtractionProgress] = []

    def on_progress(progress: ExtractionProgress) -> None:
        reports.append(progress)
        with pytest.raises(DataError) as caught:
            extract_dataset(folder, TINY)
        assert caught.value.path == str(folder)

    extract_dataset(folder, TINY, on_progress=on_progress)
    assert reports


@pytest.mark.parametrize("id", ["../evil", "/evil", "sub/x", "", ".", "..", "a\0b", "\ud800"])
def test_ids_that_are_not_file_names_are_rejected(short_videos, tmp_path, id):
    folder = create_folder(tmp_path / "data", short_videos, ["good0.mp4"])
    (folder / "videos.json").write_text(json.dumps({"folder": str(short_videos), "files": {id: "good0.mp4"}}))
    with pytest.raises(DataError):
        extract_dataset(folder, TINY)
    assert not list(tmp_path.rglob("*.npy"))


def test_file_names_that_are_not_unicode_are_rejected(short_videos, tmp_path):
    folder = create_folder(tmp_path / "data", short_videos, ["good0.mp4"])
    (folder / "videos.json").write_text(json.dumps({"folder": str(short_videos), "files": {"a": "\ud800.mp4"}}))
    with pytest.raises(DataError):
        extract_dataset(folder, TINY)
    assert not list(tmp_path.rglob("*.npy"))


def test_moved_videos_are_read_from_their_current_folder(short_videos, tmp_path):
    old_folder = tmp_path / "old"
    folder = create_folder(tmp_path / "data", old_folder, ["good0.mp4"])
    with raises(DataError, code="file-not-found", path=old_folder):
        extract_dataset(folder, TINY)
    assert extract_dataset(folder, TINY, videos=short_videos).failed == {}


def test_unknown_engine_is_rejected(tmp_path):
    with raises(ConfigError, code="unknown-name"):
        extract_dataset(tmp_path, TINY, engine="spark")


def test_folder_without_listing_is_rejected(tmp_path):
    result = CliRunner().invoke(app, ["extract", str(tmp_path)])
    assert result.exit_code == 2 and str(tmp_path) in result.output


def test_there_is_a_process_per_core_as_far_as_the_memory_allows(monkeypatch):
    monkeypatch.setattr("wtal.video.local_executor.available_cores", lambda: 8)
    assert default_workers(TINY) == 8
    for allowed, expected in ((64 << 30, 8), (9 << 30, 2), (1 << 30, 1), (None, 1)):
        ram = None if allowed is None else Ram(64 << 30, allowed)
        monkeypatch.setattr("wtal.video.local_executor.available_ram", lambda ram=ram: ram)
        assert default_workers(BackboneOptions("i3d", device="cpu")) == expected
