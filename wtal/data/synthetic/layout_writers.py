"""Writers of the public data layouts, for synthetic features. Features are made for one video at a time."""

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from wtal.core.clock import SnippetClock
from wtal.core.io import atomic_write, write_json, write_text
from wtal.core.structures import Video
from wtal.data.dataset import SYNTHETIC_KEY, write_dataset_info
from wtal.data.features import features_path, write_features

MakeFeatures = Callable[[Video], NDArray[np.float32]]  # T x 2W: RGB, then flow
Writer = Callable[[Path, Sequence[Video], MakeFeatures, SnippetClock], None]
NAME = "Rehearsal"  # of the files
FPS = 25.0


def write_plain(folder: Path, videos: Sequence[Video], make_features: MakeFeatures, clock: SnippetClock) -> None:
    """A data set folder of wtal; float16."""
    width = 0
    for video in videos:
        features = make_features(video).astype(np.float16)
        width = features.shape[1] // 2
        write_features(features_path(folder, video.id), features)
    about = {**SYNTHETIC_KEY, "beyond_duration": True}
    write_dataset_info(folder, videos, clock, _class_names(videos), (width, width), about, version="synthetic")


def write_wtalc(folder: Path, videos: Sequence[Video], make_features: MakeFeatures, clock: SnippetClock) -> None:
    """Annotation arrays in a folder, and the array of all features beside it; float32."""
    bundle = folder / f"{NAME}-Annotations"
    bundle.mkdir()
    subset_names = _subset_names(videos, "test")
    arrays = {
        "classlist": np.array([name.encode() for name in _class_names(videos)]),
        "duration": np.array([[video.duration] for video in videos]),
        "labels": _object_array([[segment.label.encode() for segment in video.segments] for video in videos]),
        "labels_all": _object_array([[label.encode() for label in video.labels] for video in videos]),
        "segments": _object_array([[[segment.start, segment.end] for segment in video.segments] for video in videos]),
        "subset": np.array([subset_names[video.subset].encode() for video in videos]),
        "videoname": np.array([video.id.encode() for video in videos]),
    }
    for name, array in arrays.items():
        np.save(bundle / f"{name}.npy", array)
    joint = folder / f"{NAME}-I3D-JOINTFeatures.npy"
    write_object_array(joint, len(videos), (make_features(video) for video in videos))


def write_basnet(folder: Path, videos: Sequence[Video], make_features: MakeFeatures, clock: SnippetClock) -> None:
    """RGB and flow in separate files, gt.json and split lists; float32.

    As in the public gt.json there are no durations, and times are strings.
    """
    database = {}
    split: dict[str, list[str]] = {"train": [], "test": []}
    for video in videos:
        subset = "train" if video.subset == "training" else "test"
        for name, features in zip(("rgb", "flow"), np.split(make_features(video), 2, axis=1), strict=True):
            write_features(folder / "features" / subset / name / f"{video.id}.npy", features)
        split[subset].append(video.id)
        annotations = [{"segment": [str(s.start), str(s.end)], "label": s.label} for s in video.segments]
        database[video.id] = {"subset": subset, "annotations": annotations}
    write_json(folder / "gt.json", {"database": database}, indent=None)
    for subset, ids in split.items():
        write_text(folder / f"split_{subset}.txt", "".join(f"{id}\n" for id in ids))


def write_opentad(folder: Path, videos: Sequence[Video], make_features: MakeFeatures, clock: SnippetClock) -> None:
    """One JSON file, and a folder of features; float32.

    Stride and window are 16 frames at 25 frames per second, as in the other layouts.
    """
    class_indices = {label: index for index, label in enumerate(_class_names(videos))}
    subset_names = _subset_names(videos, "testing")
    database = {}
    for video in videos:
        write_features(folder / "i3d_features" / f"{video.id}.npy", make_features(video))
        annotations = [
            {
                "label": s.label,
                "segment": [s.start, s.end],
                "segment(frames)": [s.start * FPS, s.end * FPS],
                "label_id": class_indices[s.label],
            }
            for s in video.segments
        ]
        entry = {"subset": subset_names[video.subset], "duration": video.duration, "fps": FPS}
        database[video.id] = {**entry, "annotations": annotations}
    write_json(folder / "annotations" / f"{NAME.lower()}.json", {"version": NAME, "database": database})


WRITERS: Mapping[str, Writer] = {
    "plain": write_plain,
    "wtalc": write_wtalc,
    "basnet": write_basnet,
    "opentad": write_opentad,
}
TWO_SUBSET_LAYOUTS = ("wtalc", "basnet")  # they have a training and a scored subset, and no third


def write_object_array(path: Path, count: int, items: Iterable[NDArray[np.generic]]) -> None:
    """Write what `np.save` writes for an array of `count` arrays, with one of them in memory at a time."""

    def write(part: Path) -> None:
        with part.open("wb") as file:
            npy.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (count,)})
            pickler = _StreamingPickler(file, protocol=4)
            pickler.fast = True  # no memo, which would keep all items
            pickler.dump(_ArrayOfItems(count, _Items(items)))

    atomic_write(path, write)


class _Items:
    """Pickled as a list, one item after the other."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


class _ArrayOfItems:
    """Pickled as a NumPy array of `count` objects."""

    def __init__(self, count: int, items: _Items) -> None:
        self.count, self.items = count, items

    def __reduce__(self) -> tuple[Any, ...]:
        # How ndarray is pickled: constructor, arguments, and a state of version, shape, dtype, order and items.
        build, empty, state = cast(tuple[Any, ...], np.empty(0, object).__reduce__())
        return build, empty, (state[0], (self.count,), *state[2:4], self.items)


# The Python implementation, because the C implementation pickles only real lists as lists.
class _StreamingPickler(pickle._Pickler):
    _BATCHSIZE = 1
    dispatch: ClassVar[dict[type, Any]] = {
        **pickle._Pickler.dispatch,
        _Items: pickle._Pickler.dispatch[list],
    }


def _object_array(values: list[list[Any]]) -> NDArray[np.object_]:
    """An array of lists, which may differ in length."""
    array = np.empty(len(values), object)
    for index, value in enumerate(values):
        array[index] = value
    return array


def _class_names(videos: Iterable[Video]) -> list[str]:
    return sorted({label for video in videos for label in (*video.labels, *(s.label for s in video.segments))})


def _subset_names(videos: Iterable[Video], testing: str) -> dict[str, str]:
    """Subset names in public files: THUMOS14 trains on `validation`, ActivityNet is scored on it."""
    if any(video.subset == "validation" for video in videos):
        return {"training": "training", "validation": "validation", "testing": "testing"}
    return {"training": "validation", "testing": testing}
