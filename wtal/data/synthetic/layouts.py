"""Writers of the public layouts, as their own projects read them; features are made one video at a time."""

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
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

Make = Callable[[Video], NDArray[np.float32]]  # a video's features, T x 2W: RGB, then flow
NAME = "Rehearsal"
FPS = 25.0


def write_plain(folder: Path, videos: Sequence[Video], make: Make, clock: SnippetClock) -> None:
    """Our own folder; float16."""
    width = 0
    for video in videos:
        features = make(video).astype(np.float16)
        width = features.shape[1] // 2
        write_features(features_path(folder, video.id), features)
    about = {**SYNTHETIC_KEY, "beyond_duration": True}
    write_dataset_info(folder, videos, clock, _classes(videos), (width, width), about)


def write_wtalc(folder: Path, videos: Sequence[Video], make: Make, clock: SnippetClock) -> None:
    """Rehearsal-Annotations/*.npy and, beside it, the array of arrays Rehearsal-I3D-JOINTFeatures.npy; float32."""
    bundle = folder / f"{NAME}-Annotations"
    bundle.mkdir()
    names = _subset_names(videos, "test")
    arrays = {
        "classlist": np.array([name.encode() for name in _classes(videos)]),
        "duration": np.array([[video.duration] for video in videos]),
        "labels": _objects([[action.label.encode() for action in video.segments] for video in videos]),
        "labels_all": _objects([[label.encode() for label in video.labels] for video in videos]),
        "segments": _objects([[[action.start, action.end] for action in video.segments] for video in videos]),
        "subset": np.array([names[video.subset].encode() for video in videos]),
        "videoname": np.array([video.id.encode() for video in videos]),
    }
    for name, array in arrays.items():
        np.save(bundle / f"{name}.npy", array)
    joint = folder / f"{NAME}-I3D-JOINTFeatures.npy"
    write_object_array(joint, len(videos), (make(video) for video in videos))


def write_basnet(folder: Path, videos: Sequence[Video], make: Make, clock: SnippetClock) -> None:
    """features/{train,test}/{rgb,flow}/<id>.npy, gt.json, split_train.txt and split_test.txt; float32.

    As in the public gt.json there are no durations, and times are texts.
    """
    database = {}
    split: dict[str, list[str]] = {"train": [], "test": []}
    for video in videos:
        part = "train" if video.subset == "training" else "test"
        for name, features in zip(("rgb", "flow"), np.split(make(video), 2, axis=1), strict=True):
            write_features(folder / "features" / part / name / f"{video.id}.npy", features)
        split[part].append(video.id)
        annotations = [{"segment": [str(a.start), str(a.end)], "label": a.label} for a in video.segments]
        database[video.id] = {"subset": part, "annotations": annotations}
    write_json(folder / "gt.json", {"database": database}, indent=None)
    for part, ids in split.items():
        write_text(folder / f"split_{part}.txt", "".join(f"{id}\n" for id in ids))


def write_actionformer(folder: Path, videos: Sequence[Video], make: Make, clock: SnippetClock) -> None:
    """annotations/rehearsal.json and i3d_features/<id>.npy; float32.

    On the grid of the other layouts, so that all hold the same: stride and window of 16 frames at 25 a second.
    """
    number = {label: index for index, label in enumerate(_classes(videos))}
    names = _subset_names(videos, "testing")
    database = {}
    for video in videos:
        write_features(folder / "i3d_features" / f"{video.id}.npy", make(video))
        annotations = [
            {
                "label": a.label,
                "segment": [a.start, a.end],
                "segment(frames)": [a.start * FPS, a.end * FPS],
                "label_id": number[a.label],
            }
            for a in video.segments
        ]
        entry = {"subset": names[video.subset], "duration": video.duration, "fps": FPS}
        database[video.id] = {**entry, "annotations": annotations}
    write_json(folder / "annotations" / f"{NAME.lower()}.json", {"version": NAME, "database": database})


LAYOUTS: dict[str, Callable[[Path, Sequence[Video], Make, SnippetClock], None]] = {
    "plain": write_plain,
    "wtalc": write_wtalc,
    "basnet": write_basnet,
    "actionformer": write_actionformer,
}
TWO_PARTS = ("wtalc", "basnet")  # layouts that know one subset to learn from and one to score, and no third


def write_object_array(path: Path, count: int, items: Iterable[NDArray[np.generic]]) -> None:
    """What `np.save(path, <object array of the items>)` writes, with one item in memory at a time."""

    def write(place: Path) -> None:
        with place.open("wb") as file:
            npy.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (count,)})
            pickler = _Streaming(file, protocol=4)
            pickler.fast = True  # remembers no item
            pickler.dump(_ObjectArray(count, _Items(items)))

    atomic_write(path, write)


class _Items:
    """Pickled as a list, item by item."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


class _ObjectArray:
    """Pickled as a NumPy array of `count` objects."""

    def __init__(self, count: int, items: _Items) -> None:
        self.count, self.items = count, items

    def __reduce__(self) -> tuple[Any, ...]:
        # ndarray's own recipe: how to build it, and its state of version, shape, dtype, order and items.
        build, empty, state = cast(tuple[Any, ...], np.empty(0, object).__reduce__())
        return build, empty, (state[0], (self.count,), *state[2:4], self.items)


# The Python one: the C one takes lists alone for lists.
class _Streaming(pickle._Pickler):
    _BATCHSIZE = 1
    dispatch: ClassVar[dict[type, Any]] = {
        **pickle._Pickler.dispatch,
        _Items: pickle._Pickler.dispatch[list],
    }


def _objects(values: list[list[Any]]) -> NDArray[np.object_]:
    """One list an element, whatever their lengths."""
    array = np.empty(len(values), object)
    for index, value in enumerate(values):
        array[index] = value
    return array


def _classes(videos: Iterable[Video]) -> list[str]:
    """All labels, sorted."""
    return sorted({label for video in videos for label in (*video.labels, *(a.label for a in video.segments))})


def _subset_names(videos: Iterable[Video], testing: str) -> dict[str, str]:
    """What a public file calls the subsets: THUMOS14 trains on `validation`, ActivityNet is scored on it."""
    if any(video.subset == "validation" for video in videos):
        return {"training": "training", "validation": "validation", "testing": "testing"}
    return {"training": "validation", "testing": testing}
