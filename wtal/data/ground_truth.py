"""Ground truth in any supported form: a JSON file, a data set folder, THUMOS text files or the W-TALC bundle."""

from pathlib import Path

from wtal.core.errors import DataError
from wtal.core.structures import Video
from wtal.data.dataset import load_dataset
from wtal.data.layouts.activitynet import read_activitynet
from wtal.data.layouts.thumos import AMBIGUOUS_NAME, find_ambiguous_list, has_thumos, read_ambiguous, read_thumos
from wtal.data.layouts.wtalc import find_bundle, read_wtalc


def read_ground_truth(path: Path) -> list[Video]:
    """Read annotated videos in file order.

    Args:
        path: An ActivityNet JSON file, or a folder: a data set, THUMOS text files, or the W-TALC arrays.

    Raises:
        DataError: The path holds no supported ground truth.
    """
    if path.is_file():
        return read_activitynet(path)
    if (path / "annotations.json").is_file():
        return list(load_dataset(path).videos)
    if (bundle := find_bundle(path)) is not None:
        return read_wtalc(bundle)
    if path.is_dir() and has_thumos(path):
        return read_thumos(path)
    if (path / "tags.csv").is_file():
        raise DataError(
            "tags.csv has no start and end times",
            path=path,
            hint="pass ground truth with segments",
            code="no-segments",
        )
    raise DataError(
        "no ground truth found",
        path=path,
        hint="pass an ActivityNet JSON file, a data set folder with annotations.json, a folder of THUMOS text files or "
        "the W-TALC annotation arrays",
        code="unknown-format" if path.exists() else "file-not-found",
    )


def read_timed_ground_truth(path: Path) -> list[Video]:
    """As `read_ground_truth`; in a data set, missing durations are taken from the features."""
    if path.is_dir() and (path / "annotations.json").is_file():
        dataset = load_dataset(path)
        return [dataset.with_duration(video) for video in dataset.videos]
    return read_ground_truth(path)


def find_ambiguous(truth: Path) -> dict[str, list[tuple[float, float]]] | None:
    """The intervals of THUMOS's list of ambiguous segments beside the ground truth, by video; None without a list."""
    path = find_ambiguous_list(truth) if truth.is_dir() else truth.parent / AMBIGUOUS_NAME
    return read_ambiguous(path) if path and path.is_file() else None
