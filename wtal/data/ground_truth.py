"""Ground truth wherever it lies: a JSON file, a plain folder, THUMOS text files or the W-TALC bundle."""

from pathlib import Path

from wtal.core.errors import DataError
from wtal.core.structures import Video
from wtal.data.dataset import load_dataset
from wtal.data.layouts.activitynet import read_activitynet
from wtal.data.layouts.convert import find_bundle
from wtal.data.layouts.thumos import has_thumos, read_ambiguous, read_thumos
from wtal.data.layouts.wtalc import read_wtalc

AMBIGUOUS = "Ambiguous_test.txt"


def read_ground_truth(path: Path) -> list[Video]:
    """Videos with their actions, in file order. Raises DataError when nothing known lies there."""
    if path.is_file():
        return read_activitynet(path)
    if (path / "annotations.json").is_file():
        return list(load_dataset(path).videos)
    if find_bundle(path) is not None:
        return read_wtalc(path)
    if path.is_dir() and has_thumos(path):
        return read_thumos(path)
    if (path / "tags.csv").is_file():
        raise DataError(f"{path}: tags.csv says what happens, not when; name ground truth with starts and ends")
    raise DataError(
        f"{path}: no ground truth there; name an ActivityNet JSON, a data set folder with annotations.json, "
        f"a folder of THUMOS text files or the W-TALC annotation arrays"
    )


def read_timed_ground_truth(path: Path) -> list[Video]:
    """As `read_truth`; a video whose duration is not told is as long as its features, where it has some."""
    if path.is_dir() and (path / "annotations.json").is_file():
        folder = load_dataset(path)
        return [folder.timed(video) for video in folder.videos]
    return read_ground_truth(path)


def find_ambiguous(truth: Path) -> dict[str, list[tuple[float, float]]] | None:
    """The ambiguous list that lies beside the ground truth, if there is one."""
    folder = truth if truth.is_dir() else truth.parent
    path = folder / AMBIGUOUS
    return read_ambiguous(path) if path.is_file() else None
