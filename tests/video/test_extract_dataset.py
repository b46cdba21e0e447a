"""From a folder of video files to features: what is missing is made, what is bad is listed, nothing is lost."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.video import render
from wtal.cli import app
from wtal.core.errors import ConfigError, DataError
from wtal.data.dataset import load_dataset
from wtal.data.provenance import read_origin
from wtal.video.backbones.handcrafted import Tiny
from wtal.video.backbones.registry import BackboneOptions, open_backbone
from wtal.video.extract_dataset import Extracted, Progress, extract_dataset
from wtal.video.extract_video import extract_features, extract_video
from wtal.video.local_executor import ExtractionOutcome, ExtractionTask, attempt

GOOD = 4


def noise(seconds: float, seed: int, fps: int = 10) -> np.ndarray:
    """Pictures of a texture that wanders. T x 48 x 64 x 3."""
    texture = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return np.stack([np.roll(texture, i, 1) for i in range(round(seconds * fps))])


def list_videos(folder: Path, videos: Path, names: list[str]) -> Path:
    """What `wtal init` writes."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = {Path(name).stem: name for name in names}
    entries = {id: {"subset": "training", "annotations": [{"label": f"class{i % 2}"}]} for i, id in enumerate(ids)}
    (folder / "videos.json").write_text(json.dumps({"folder": str(videos), "files": ids}))
    (folder / "annotations.json").write_text(json.dumps({"database": entries}))
    (folder / "dataset.json").write_text(json.dumps({"classes": ["class0", "class1"]}))
    return folder


@pytest.fixture(scope="module")
def movies(tmp_path_factory) -> Path:
    """Four good videos of some seconds, read only."""
    place = tmp_path_factory.mktemp("movies")
    for i in range(GOOD):
        render(place / f"good{i}.mp4", noise(2 + i, seed=i), fps=10)
    return place


def write_bad(place: Path) -> dict[str, str]:
    """A file for each way of being bad: its name, and what must be said of it."""
    good = place / "good0.mp4"
    whole = good.read_bytes()
    (place / "empty.mp4").write_bytes(b"")
    (place / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (place / "header.mp4").write_bytes(whole[:40])
    (place / "random.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (place / "text.mp4").write_text("dear diary\n" * 100)
    (place / "picture.mp4").write_bytes(_png())
    with wave.open(str(place / "sound.mp4"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    index_first = render(place / "no_frames.mp4", noise(2, 0), fps=10, container_options={"movflags": "faststart"})
    index_first.write_bytes(index_first.read_bytes().partition(b"mdat")[0] + b"mdat")
    (place / "folder.mp4").mkdir()
    return {
        "empty.mp4": "empty",
        "truncated.mp4": "cut off",
        "header.mp4": "cut off",
        "random.mp4": "no video",
        "text.mp4": "text",
        "picture.mp4": "picture",
        "sound.mp4": "no picture|sound",
        "no_frames.mp4": "cut off|no frame",
        "folder.mp4": "folder",
        "gone.mp4": "no such file",
    }


def _png() -> bytes:
    import io

    from matplotlib import image

    out = io.BytesIO()
    image.imsave(out, np.zeros((8, 8, 3)), format="png")
    return out.getvalue()


def test_good_ones_are_extracted_bad_ones_listed_and_a_second_call_does_only_what_is_missing(movies, tmp_path):
    videos = shutil.copytree(movies, tmp_path / "videos")
    bad = write_bad(videos)
    good = [f"good{i}.mp4" for i in range(GOOD)]
    folder = list_videos(tmp_path / "data", videos, [*good, *bad])

    first = CliRunner().invoke(app, ["extract", str(folder)])
    assert first.exit_code == 2 and "Traceback" not in first.output
    failed = json.loads((folder / "failed.json").read_text())
    assert failed.keys() == {Path(name).stem for name in bad}
    for name, said in bad.items():
        reason = failed[Path(name).stem]
        assert reason.startswith(f"{videos / name}: ") and "; " in reason and reason in first.output, name
        assert any(word in reason for word in said.split("|")), reason
    assert {v.id for v in load_dataset(folder).videos} == {Path(name).stem for name in good}
    assert not list((folder / "features").glob(".*")) or {p.name for p in (folder / "features").glob(".*")} == {".lock"}

    before = {path: path.stat().st_mtime_ns for path in (folder / "features").glob("*.npy")}
    assert len(before) == GOOD
    (folder / "features" / "good1.npy").unlink()
    shutil.copy(videos / "good0.mp4", videos / "gone.mp4")
    second = CliRunner().invoke(app, ["extract", str(folder)])
    assert second.exit_code == 2 and "2 of them made now" in second.output
    after = {path: path.stat().st_mtime_ns for path in (folder / "features").glob("*.npy")}
    assert {p.name for p in after if after[p] != before.get(p)} == {"good1.npy", "gone.npy"}
    assert "gone" not in json.loads((folder / "failed.json").read_text())


def test_a_file_that_may_not_be_read_says_so(movies, tmp_path, monkeypatch):
    path = Path(shutil.copy(movies / "good0.mp4", tmp_path))

    def refuse(self: Path, *_: object) -> None:  # root may read everything, so that the system cannot be asked
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=f"{path}: cannot be read .permission denied."):
        extract_features(path, open_backbone(BackboneOptions()))


def test_a_good_video_may_be_called_as_it_likes(movies, tmp_path):
    path = Path(shutil.copy(movies / "good0.mp4", tmp_path / "film.txt"))
    features, _ = extract_features(path, open_backbone(BackboneOptions()))
    assert np.array_equal(features, extract_features(movies / "good0.mp4", open_backbone(BackboneOptions()))[0])


class Failing(Tiny):
    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")


def test_a_backbone_that_fails_fails_the_video_alone(movies, tmp_path):
    job = ExtractionTask("good0", movies / "good0.mp4", tmp_path / "features" / "good0.npy")
    outcome = attempt(job, Failing())
    assert outcome.reason.startswith(f"{job.video}: ") and "out of memory" in outcome.reason
    assert list((tmp_path / "features").iterdir()) == []


def test_a_disk_that_cannot_be_written_stops_everything(movies, tmp_path):
    (tmp_path / "features").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="features"):
        attempt(
            ExtractionTask("good0", movies / "good0.mp4", tmp_path / "features" / "good0.npy"),
            open_backbone(BackboneOptions()),
        )


def test_a_bad_video_in_a_folder_called_features_is_a_bad_video(tmp_path, monkeypatch):
    videos = tmp_path / "my_features"
    videos.mkdir()
    (videos / "bad.mp4").write_bytes(b"")
    monkeypatch.chdir(list_videos(tmp_path / "data", videos, ["bad.mp4"]))
    assert extract_dataset(Path(), BackboneOptions()).failed.keys() == {"bad"}


def test_features_that_are_damaged_or_of_another_video_are_made_again(movies, tmp_path):
    videos = shutil.copytree(movies, tmp_path / "videos")
    folder = list_videos(tmp_path / "data", videos, [f"good{i}.mp4" for i in range(GOOD)])
    extract_dataset(folder, BackboneOptions())
    features = folder / "features"
    whole = {path.name: path.read_bytes() for path in features.glob("*.npy")}
    (features / "good0.npy").write_bytes(whole["good0.npy"][:-3])
    (features / "good1.json").write_text("{")
    shutil.copy(videos / "good3.mp4", videos / "good2.mp4")
    assert extract_dataset(folder, BackboneOptions()).made == 3
    longer = (videos / "good3.mp4").read_bytes()
    (videos / "good3.mp4").write_bytes(longer[:-1] + bytes([longer[-1] ^ 1]))  # another of the same length
    assert extract_dataset(folder, BackboneOptions()).made == 1
    (videos / "good3.mp4").write_bytes(longer)
    assert extract_dataset(folder, BackboneOptions()).made == 1
    for name in ("good0.npy", "good1.npy", "good3.npy"):
        assert (features / name).read_bytes() == whole[name]
    assert (features / "good2.npy").read_bytes() == whole["good3.npy"]
    shutil.rmtree(videos)
    assert extract_dataset(folder, BackboneOptions()) == Extracted(GOOD, 0, {}), "videos that are gone have not changed"


def test_what_failed_so_far_is_said_after_an_interrupt(movies, tmp_path):
    videos = shutil.copytree(movies, tmp_path / "videos")
    (videos / "bad.mp4").write_bytes(b"")
    folder = list_videos(tmp_path / "data", videos, ["bad.mp4", "good0.mp4", "good1.mp4"])

    def engine(jobs, *_):
        yield ExtractionOutcome(jobs[0].id, "it is bad")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_dataset(folder, BackboneOptions(), engine=engine)
    assert json.loads((folder / "failed.json").read_text()) == {"bad": "it is bad"}


def test_files_and_memory_hold_the_same_features_and_times(movies, tmp_path):
    backbone = open_backbone(BackboneOptions())
    heard: list[float] = []
    features, origin = extract_features(movies / "good3.mp4", backbone, heard.append)
    count = extract_video(movies / "good3.mp4", tmp_path / "good3.npy", backbone)
    stored, said = np.load(tmp_path / "good3.npy"), read_origin(tmp_path / "good3.npy")
    assert np.array_equal(stored, features) and stored.dtype == np.float16 and len(stored) == count
    assert said is not None and said.provenance == origin.provenance and np.allclose(said.edges, origin.edges)
    assert len(origin.edges) == count + 1 and heard == sorted(heard) and heard[-1] == origin.edges[-1]
    assert origin.edges[-1] == pytest.approx(5.0, abs=0.11)
    assert stored.shape[1] == sum(backbone.widths)


def test_the_features_do_not_depend_on_the_number_of_processes(movies, tmp_path):
    names = [f"good{i}.mp4" for i in range(GOOD)]
    folders = [list_videos(tmp_path / f"data{n}", movies, names) for n in (1, 3)]
    for folder, workers in zip(folders, (1, 3), strict=True):
        assert extract_dataset(folder, BackboneOptions(), workers=workers).failed == {}
    for name in names:
        one, three = ((f / "features" / name).with_suffix(".npy").read_bytes() for f in folders)
        assert one == three


def test_a_process_that_dies_takes_one_video_with_it_and_a_second_call_tries_again(movies, tmp_path):
    videos = shutil.copytree(movies, tmp_path / "videos")
    render(videos / "long.mp4", noise(240, seed=9), fps=10)
    folder = list_videos(tmp_path / "data", videos, ["good0.mp4", "long.mp4", "good1.mp4", "good2.mp4"])
    killed = []

    def kill(now: Progress) -> None:
        if any(id == "long" for id, _ in now.active):
            for child in multiprocessing.active_children():
                killed.append(child.pid)
                os.kill(child.pid, signal.SIGKILL)

    done = extract_dataset(folder, BackboneOptions(), workers=2, heard=kill)
    assert killed and done.failed.keys() == {"long"} and "died" in done.failed["long"]
    assert done.there == 3
    again = extract_dataset(folder, BackboneOptions(), workers=2)
    assert (again.there, again.made, again.failed) == (4, 1, {})


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_so_and_goes_on_later(movies, tmp_path, stop):
    videos = shutil.copytree(movies, tmp_path / "videos")
    names = [f"good{i % GOOD}_{i}.mp4" for i in range(60)]
    for name in names:
        shutil.copy(movies / f"{name.split('_')[0]}.mp4", videos / name)
    folder = list_videos(tmp_path / "data", videos, names)
    code = "from wtal.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "extract", str(folder), "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list((folder / "features").glob("*.npy")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(stop)
    said, _ = process.communicate(timeout=60)
    made = len(list((folder / "features").glob("*.npy")))
    assert process.returncode == 130 and "interrupted" in said and "Traceback" not in said
    assert 0 < made < len(names) and not list((folder / "features").glob(".*.part"))
    done = extract_dataset(folder, BackboneOptions())
    assert (done.there, done.made) == (len(names), len(names) - made)


def test_features_of_another_backbone_are_not_mixed_in(movies, tmp_path):
    folder = list_videos(tmp_path / "data", movies, ["good0.mp4"])
    extract_dataset(folder, BackboneOptions())
    about = json.loads((folder / "dataset.json").read_text())
    about["provenance"]["stride"] += 1
    (folder / "dataset.json").write_text(json.dumps(about))
    with pytest.raises(DataError, match=r"holds features of tiny.*not of tiny"):
        extract_dataset(folder, BackboneOptions())


def test_two_at_once_are_refused(movies, tmp_path):
    folder = list_videos(tmp_path / "data", movies, ["good0.mp4"])

    def heard(now: Progress) -> None:
        with pytest.raises(DataError, match="another process"):
            extract_dataset(folder, BackboneOptions())

    extract_dataset(folder, BackboneOptions(), heard=heard)


@pytest.mark.parametrize("id", ["../evil", "/evil", "sub/x", "", ".", "..", "a\0b", "\ud800"])
def test_ids_that_are_no_file_names_are_refused(movies, tmp_path, id):
    folder = list_videos(tmp_path / "data", movies, ["good0.mp4"])
    (folder / "videos.json").write_text(json.dumps({"folder": str(movies), "files": {id: "good0.mp4"}}))
    with pytest.raises(DataError, match="cannot be an id"):
        extract_dataset(folder, BackboneOptions())
    (folder / "videos.json").write_text(json.dumps({"folder": str(movies), "files": {"a": "\ud800.mp4"}}))
    with pytest.raises(DataError, match="no path"):
        extract_dataset(folder, BackboneOptions())
    assert not list(tmp_path.rglob("*.npy"))


def test_moved_videos_are_found_where_they_are_now(movies, tmp_path):
    folder = list_videos(tmp_path / "data", tmp_path / "nowhere", ["good0.mp4"])
    with pytest.raises(DataError, match="nowhere: the folder of the videos is not there; name it with --videos"):
        extract_dataset(folder, BackboneOptions())
    assert extract_dataset(folder, BackboneOptions(), videos=movies).failed == {}


@pytest.mark.parametrize(
    "choice, said",
    [
        (BackboneOptions("large"), "no backbone 'large'.*tiny, i3d"),
        (BackboneOptions(device="tpu"), "no device 'tpu'"),
        (BackboneOptions("tiny", device="cuda"), "on the CPU alone"),
        (BackboneOptions(precision="float8"), "no precision 'float8'"),
        (BackboneOptions("tiny", weights=Path("w")), "takes no weights"),
    ],
)
def test_what_cannot_be_chosen(choice, said):
    with pytest.raises(ConfigError, match=said):
        open_backbone(choice)


def test_an_unknown_engine_and_a_folder_that_init_did_not_make(tmp_path):
    (tmp_path / "plain").mkdir()
    said = CliRunner().invoke(app, ["extract", str(tmp_path / "plain")])
    assert said.exit_code == 2 and "wtal init" in said.output
    said = CliRunner().invoke(app, ["extract", str(tmp_path / "plain"), "--engine", "spark"])
    assert said.exit_code == 2 and "no engine 'spark'" in said.output
