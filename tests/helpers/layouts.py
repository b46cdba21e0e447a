"""Small data sets in public layouts."""

from pathlib import Path

import numpy as np

from wtal.core.structures import Segment, Video
from wtal.data.layouts.activitynet import write_activitynet


def object_array(*items: object) -> np.ndarray:
    """A one-dimensional array of Python objects."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def write_basnet(folder: Path) -> Path:
    """One training and one testing video in the BaS-Net / CoLA layout; RGB of the second has one snippet more."""
    folder.mkdir()
    videos = [Video("v1", "train", ("run",), segments=(Segment("run", 1, 2),)), Video("v2", "test", ("jump",))]
    write_activitynet(folder / "gt.json", videos)
    for name, video, lengths in (("train", "v1", (5, 5)), ("test", "v2", (8, 7))):
        (folder / f"split_{name}.txt").write_text(f"{video}\n")
        for modality, length, value in zip(("rgb", "flow"), lengths, (1, 2), strict=True):
            path = folder / "features" / name / modality / f"{video}.npy"
            path.parent.mkdir(parents=True)
            np.save(path, np.full((length, 3), value, np.float32))
    return folder
