"""One valid file of every kind that the program reads, and the function that reads it."""

import io
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from tests.helpers.own_videos import run_command
from tests.helpers.video import render, texture
from wtal.core.clock import SnippetClock
from wtal.core.config import read_config
from wtal.core.io import write_json
from wtal.core.structures import Segment, Video
from wtal.data.annotations.convert import read_annotations, write_annotations
from wtal.data.annotations.registry import FORMATS
from wtal.data.create import match_tables
from wtal.data.dataset import load_dataset
from wtal.data.ground_truth import read_ground_truth
from wtal.data.layouts.activitynet import read_proposals
from wtal.data.layouts.base import FeatureTiming
from wtal.data.layouts.convert import convert_layout
from wtal.data.layouts.registry import LAYOUTS
from wtal.data.layouts.safe_pickle import read_object_array
from wtal.data.layouts.thumos import read_ambiguous, read_thumos
from wtal.data.provenance import read_origin
from wtal.data.synthetic.layout_writers import write_basnet, write_opentad, write_wtalc
from wtal.data.validation import validate_dataset
from wtal.data.video_files import VideoFolder, read_listing
from wtal.experiments import project_steps  # noqa: F401  # imported before the time of an input is measured
from wtal.experiments.project import Project
from wtal.inference.calibration import read_calibration
from wtal.inference.localizer import Localizer
from wtal.models.teacher import read_teacher
from wtal.reporting.curves import read_metrics
from wtal.video.backbones import i3d_weights
from wtal.video.backbones.base import Sampling
from wtal.video.reader import read_duration_and_rate, read_snippets
from wtal.web.corrections import Corrections
from wtal.web.jobs import JobQueue
from wtal.web.predictions import StoredPrediction, read_prediction, write_prediction
from wtal.web.videos import VideoFile

FPS = 25.0
SAMPLING = Sampling(25, 8, 8, 16, 16)
GOLDEN = Path(__file__).parents[1] / "data" / "annotations" / "golden"
VIDEOS = [
    Video("a", "training", ("jump", "run"), 9.0, (Segment("run", 1.0, 4.0), Segment("jump", 5.0, 8.0))),
    Video("b", "validation", ("run",), 8.0, (Segment("run", 2.0, 3.5),)),
    Video("c", "testing", ("jump",), 8.0, (Segment("jump", 0.0, 3.5),)),
]
CLOCK = SnippetClock(0.64)
VIDEO_FILES = {  # name: codec, pixel format
    "video.mp4": ("libx264", "yuv420p"),
    "video.mkv": ("ffv1", "yuv444p"),
    "video.avi": ("mpeg4", "yuv420p"),
    "video.ts": ("mpeg2video", "yuv420p"),
    "video.webm": ("libvpx", "yuv420p"),
    "video.mov": ("mjpeg", "yuvj420p"),
    "video.flv": ("flv", "yuv420p"),
}


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        folder: The folder of files that are read together; a copy of it is changed.
        file: The file in it that is changed.
        read: Reads the folder; raises a WtalError where the file is refused.
    """

    folder: Path
    file: str
    read: Callable[[Path], object]


def write_corpus(root: Path, own_videos: Path) -> None:
    """Write the valid files.

    Args:
        root: An empty folder.
        own_videos: What `make_own_videos` wrote.
    """
    (root / "annotations").mkdir()
    for path in GOLDEN.iterdir():
        shutil.copy(path, root / "annotations")
    shutil.copytree(own_videos / "data", root / "data")
    unused = shutil.ignore_patterns("stage-one", "training.safetensors", "README.md")
    shutil.copytree(own_videos / "run", root / "run", ignore=unused)
    run_command("calibrate", root / "run", root / "data", "--subset", "testing")
    run_command("localize", root / "run", root / "data")
    (root / "tags").mkdir()
    (root / "tags" / "tags.csv").write_text("video,labels,subset\nfilm 0.mp4,left[3 to 6];right@1.5,training\n,x,\n")
    (root / "tags" / "film 0.mp4").touch()
    (root / "config").mkdir()
    (root / "config" / "config.toml").write_text('method = "dfe"\n[train]\nsteps = 100\n[model]\nwidth = 64\n')
    for name, write in (("wtalc", write_wtalc), ("basnet", write_basnet), ("opentad", write_opentad)):
        (root / name).mkdir()
        write(root / name, VIDEOS, _features, CLOCK)
    _write_thumos(root / "thumos")
    _write_hapt(root / "hapt")
    _write_weights(root / "weights")
    (root / "videos").mkdir()
    for name, (codec, pixel_format) in VIDEO_FILES.items():
        frames = [np.roll(texture(1), shift, 1) for shift in range(20)]
        render(root / "videos" / name, frames, codec=codec, pix_fmt=pixel_format, options={"g": "5"})
    _write_store(root / "store")
    Project.open(own_videos / "videos", root / "project")
    (root / "project" / "tags.csv").write_text("video,labels\nfilm 0.mp4,left\nfilm 1.mp4,right[1 to 2]\n")


def kinds(root: Path, own_videos: Path) -> dict[str, Kind]:
    """All kinds of the corpus in `root`, by name."""
    result = {}
    for path in sorted((root / "annotations").iterdir()):
        name = path.stem
        fps = FPS if FORMATS[name].needs_fps and not FORMATS[name].stores_fps else None
        read = partial(_convert, name=path.name, format=name, fps=fps)
        result[f"annotations, {name}"] = Kind(root / "annotations", path.name, read)
    for name in ("dataset.json", "annotations.json", "videos.json", "failed.json", "features/film 0.json"):
        result[f"data set, {Path(name).name}"] = Kind(root / "data", name, _read_dataset)
    result["data set, features .npy"] = Kind(root / "data", "features/film 0.npy", _read_dataset)
    result["table of tags"] = Kind(root / "tags", "tags.csv", _read_tags)
    result["settings, TOML"] = Kind(root / "config", "config.toml", lambda folder: read_config(folder / "config.toml"))
    checkpoint = next(path.name for path in (root / "run").glob("checkpoint-*"))
    for name in (f"{checkpoint}/config.json", f"{checkpoint}/model.safetensors"):
        result[f"run, {Path(name).name}"] = Kind(root / "run", name, _read_run)
    result["run, memory.safetensors"] = Kind(root / "run", "teacher/memory.safetensors", _read_memory)
    result["run, operating.json"] = Kind(root / "run", "operating.json", read_calibration)
    result["run, metrics.jsonl"] = Kind(root / "run", "metrics.jsonl", read_metrics)
    proposals = "proposals.json"
    result["run, proposals.json"] = Kind(root / "run", proposals, lambda run: read_proposals(run / proposals))
    layouts = {
        "basnet": ["gt.json", "split_train.txt", "features/train/rgb/a.npy"],
        "opentad": ["*/*.json", "*/a.npy"],
    }
    for layout, patterns in layouts.items():
        for pattern in patterns:
            path = next((root / layout).glob(pattern))
            read = partial(_convert_layout, layout=layout)
            name = path.relative_to(root / layout).as_posix()
            result[f"{layout}, {path.name}"] = Kind(root / layout, name, read)
    bundle = next((root / "wtalc").glob("*-Annotations"))
    arrays = [bundle / f"{name}.npy" for name in ("labels_all", "segments", "duration")]
    for path in (*arrays, *bundle.parent.glob("*.npy")):
        name = path.relative_to(bundle.parent).as_posix()
        result[f"wtalc, {path.name}"] = Kind(bundle.parent, name, partial(_read_objects, name=name))
    result["thumos, class file"] = Kind(root / "thumos", "run_val.txt", read_thumos)
    ambiguous = "Ambiguous_val.txt"
    result["thumos, ambiguous"] = Kind(root / "thumos", ambiguous, lambda folder: read_ambiguous(folder / ambiguous))
    result["hapt, zip"] = Kind(root / "hapt", "hapt.zip", partial(_convert_layout, layout="hapt", name="hapt.zip"))
    for name in ("labels.txt", "acc_exp01_user01.txt"):  # in a zip file, every change breaks a checksum
        read = partial(_convert_layout, layout="hapt", name="unpacked")
        result[f"hapt, {name}"] = Kind(root / "hapt", f"unpacked/RawData/{name}", read)
    for path in sorted((root / "weights").iterdir()):
        read = partial(_read_weights, name=path.name)
        result[f"I3D weights, {path.name.partition('.')[2]}"] = Kind(root / "weights", path.name, read)
    for name in VIDEO_FILES:
        result[f"video, {Path(name).suffix[1:]}"] = Kind(root / "videos", name, partial(_read_video, name=name))
    result["page, corrections"] = Kind(root / "store", "corrections/a0.json", _read_corrections)
    result["page, queue"] = Kind(root / "store", "queue.json", _read_queue)
    result["page, prediction"] = Kind(root / "store", "prediction.safetensors", _read_stored)
    for name in ("wtal-project.json", "tags.csv"):
        read = partial(_read_project, videos=own_videos / "videos")
        result[f"project, {name}"] = Kind(root / "project", name, read)
    return result


def _features(video: Video) -> np.ndarray:
    return np.random.default_rng(len(video.id)).random((14, 8), np.float32)


def _write_thumos(folder: Path) -> None:
    folder.mkdir()
    (folder / "run_val.txt").write_text("video_validation_0000051  1.0 2.5\nvideo_validation_0000052  0 12.5\n")
    (folder / "jump_test.txt").write_text("video_test_0000004  0.2 1.1\n")
    (folder / "Ambiguous_val.txt").write_text("video_validation_0000051  67.0 70.0\n")


def _write_hapt(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "hapt.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for person in (1, 2):
            for kind in ("acc", "gyro"):
                text = io.StringIO()
                np.savetxt(text, rng.integers(-9, 9, (3000, 3)), fmt="%d")
                archive.writestr(f"RawData/{kind}_exp{person:02d}_user{person:02d}.txt", text.getvalue())
        archive.writestr("RawData/labels.txt", "1 1 1 1 1000\n2 2 5 20 900\n")
        archive.extractall(folder / "unpacked")


def _write_weights(folder: Path) -> None:
    """A small tree in the form of the published checkpoint, in each kind of file."""
    folder.mkdir()
    kernel = {"kernel": np.ones((1, 1, 1, 2, 3), np.float32), "bias": np.zeros(3, np.float32)}
    content = pickle.dumps({"params": {"Mixed_3b": {"Branch_0": {"Conv3d_0a_1x1": {"Conv_0": kernel}}}}}, protocol=4)
    (folder / "weights.ckpt").write_bytes(content)
    member = tarfile.TarInfo("i3d/rgb.ckpt")
    member.size = len(content)
    with tarfile.open(folder / "weights.tar.gz", "w:gz") as tar:
        tar.addfile(member, io.BytesIO(content))


def _write_store(folder: Path) -> None:
    record = {"video": "a.mp4", "revision": 3, "saved": "2026-01-01T00:00:00Z"}
    segments = [{"label": "run", "start": 1.0, "end": 2.5, "score": None}]
    (folder / "corrections").mkdir(parents=True)
    write_json(folder / "corrections" / "a0.json", record | {"segments": segments, "complete": True})
    write_json(folder / "queue.json", [{"key": "a0", "state": "queued", "reason": ""}])
    curves = np.linspace(0, 4, 5), np.ones(4, np.float32), np.zeros((4, 3), np.float32)
    prediction = StoredPrediction("a.mp4", "", 25.0, ("jump", "run"), (Segment("run", 1.0, 2.0, 0.5),), *curves)
    write_prediction(folder / "prediction.safetensors", prediction)


def _convert(folder: Path, name: str, format: str, fps: float | None) -> None:
    """Read annotations, and write them as another format."""
    file, _ = read_annotations(folder / name, format, fps)
    with TemporaryDirectory() as out:
        write_annotations(FORMATS["csv"], Path(out) / "out.csv", file.annotations)


def _read_dataset(folder: Path) -> None:
    validate_dataset(folder)
    dataset = load_dataset(folder)
    read_ground_truth(folder)
    read_listing(folder)
    for video in dataset.videos:
        if dataset.features_path(video.id).is_file():
            read_origin(dataset.features_path(video.id))
            np.asarray(dataset.features(video.id))


def _read_tags(folder: Path) -> None:
    match_tables([folder / "tags.csv"], VideoFolder(folder))


def _read_run(run: Path) -> None:
    localizer = Localizer(run)
    localizer.localize(np.zeros((20, sum(localizer.meta.modalities)), np.float32))


def _read_memory(run: Path) -> None:
    memory = read_teacher(run / "teacher").memory
    classes = memory.num_classes + 1
    features = memory.whitening(torch.zeros(3, *memory.whitening.mean.shape))
    memory.read(features, torch.full((3, classes), 1 / classes), torch.ones(classes, dtype=torch.bool))


def _convert_layout(folder: Path, layout: str, name: str = "") -> None:
    with TemporaryDirectory() as out:
        timing = FeatureTiming(16, 16) if layout == "opentad" else None
        convert_layout(folder / name, Path(out) / "set", layout=LAYOUTS[layout], timing=timing)


def _read_weights(folder: Path, name: str) -> None:
    i3d_weights._read(folder / name)


def _read_objects(folder: Path, name: str) -> None:
    """Read an array of objects, in a process of its own."""
    with TemporaryDirectory() as out:
        read_object_array(folder / name, Path(out))


def _read_video(folder: Path, name: str) -> None:
    read_duration_and_rate(folder / name)
    for _ in read_snippets(folder / name, SAMPLING):
        pass


def _read_corrections(store: Path) -> None:
    Corrections(store / "corrections", store / "tags.csv")


def _read_queue(store: Path) -> None:
    JobQueue(store / "queue.json", lambda key: NotImplemented, lambda: NotImplemented)


def _read_stored(store: Path) -> None:
    read_prediction(store / "prediction.safetensors", VideoFile("a.mp4", 1, 1), lambda file: "")


def _read_project(folder: Path, videos: Path) -> None:
    project = Project.open(videos, folder)
    project.tag_summary()
    project.classes()
    project.videos()
    project.status()
