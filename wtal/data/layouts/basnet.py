"""The BaS-Net / CoLA layout -> plain: features/{train,test}/{rgb,flow}/<id>.npy, gt.json, split_*.txt."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError
from wtal.core.io import read_text
from wtal.core.structures import Video
from wtal.data.dataset import unusable_ids, write_dataset_info
from wtal.data.features import features_path, open_features, write_features
from wtal.data.layouts.activitynet import read_activitynet
from wtal.data.problems import raise_first

CLOCK = SnippetClock(16 / 25)
FOLDERS = {"training": "train", "testing": "test"}
MODALITIES = ("rgb", "flow")  # in the order in which they are laid side by side
ABOUT = {"feature": "I3D", "source": "BaS-Net / CoLA layout", "beyond_duration": True}


def convert_basnet(
    source: Path, out: Path, progress: Callable[[int, int], object] | None = None
) -> tuple[tuple[Video, ...], tuple[str, ...]]:
    """Write the layout as a plain folder at `out`; returns its videos and what deserves a remark.

    RGB and flow are laid side by side; where one is a single snippet longer its last snippet is dropped, and
    said. Good files of an earlier run are kept. Raises DataError on what does not fit.
    """
    videos, remarks = read_basnet(source)
    raise_first(unusable_ids(videos, source))
    present = [name for name in MODALITIES if any(source.glob(f"features/*/{name}"))]
    widths: tuple[int, ...] = ()
    missing: list[str] = []
    cut: list[str] = []
    for number, video in enumerate(videos, start=1):
        paths = [source / "features" / FOLDERS[video.subset] / name / f"{video.id}.npy" for name in present]
        if not any(path.is_file() for path in paths):
            missing.append(video.id)
            continue
        widths = _convert_one(paths, features_path(out, video.id), widths, cut)
        if progress:
            progress(number, len(videos))
    if missing:
        remarks.append(f"{len(missing)} videos have no features in {source / 'features'}: {_some(missing)}")
    if cut:
        remarks.append(f"{len(cut)} videos have one snippet more of RGB or flow, which is dropped: {_some(cut)}")
    classes = sorted({label for video in videos for label in video.labels})
    write_dataset_info(out, videos, CLOCK, classes, widths, ABOUT)
    return tuple(videos), tuple(remarks)


def read_basnet(source: Path) -> tuple[list[Video], list[str]]:
    """The videos of gt.json in the subset that the split lists say, and remarks. Raises DataError."""
    known = {video.id: video for video in read_activitynet(source / "gt.json")}
    videos: list[Video] = []
    for subset, name in FOLDERS.items():
        path = source / f"split_{name}.txt"
        if not path.is_file():
            videos += [video for video in known.values() if video.subset == subset]
            continue
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            if id := line.strip():
                videos.append(replace(_known(known, id, f"{path}, line {number}"), subset=subset))
    twice = sorted(id for id, count in Counter(video.id for video in videos).items() if count > 1)
    if twice:
        raise DataError(f"{source}: the split lists name {', '.join(twice[:3])} twice; keep one line of each")
    left = len(known) - len(videos)
    return videos, [f"{left} videos of gt.json are in no split and left out"] if left else []


def _known(known: dict[str, Video], id: str, where: str) -> Video:
    if id not in known:
        raise DataError(f"{where}: {id} is not in gt.json; take the line out, or add the video there")
    return known[id]


def _convert_one(paths: list[Path], out: Path, widths: tuple[int, ...], cut: list[str]) -> tuple[int, ...]:
    """Lay the files side by side in `out`, T x (sum of widths); returns the widths. What is cut joins `cut`."""
    parts = [open_features(path, widths[i] if widths else None) for i, path in enumerate(paths)]
    lengths = [len(part) for part in parts]
    if max(lengths) - min(lengths) > 1:
        raise DataError(f"{paths[0]}: {lengths} snippets in {', '.join(MODALITIES)}; extract them again")
    if max(lengths) != min(lengths):
        cut.append(out.stem)
    found = tuple(part.shape[1] for part in parts)
    if not _is_there(out, min(lengths), sum(found)):
        write_features(out, np.concatenate([part[: min(lengths)] for part in parts], axis=1))
    return found


def _is_there(path: Path, length: int, width: int) -> bool:
    try:
        return len(open_features(path, width)) == length
    except DataError:
        return False


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:3]) + f" and {len(ids) - 3:,} more" * (len(ids) > 3)
