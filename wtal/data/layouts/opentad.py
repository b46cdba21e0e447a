"""The OpenTAD / ActionFormer layout -> plain: one JSON, and features made elsewhere as <prefix><id>.npy."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wtal.core.clock import SnippetClock
from wtal.core.errors import ConfigError, DataError
from wtal.core.io import read_json
from wtal.core.structures import Video
from wtal.data.dataset import unusable_ids, write_dataset_info
from wtal.data.features import features_path, open_features, write_features
from wtal.data.layouts.activitynet import read_activitynet, with_training
from wtal.data.problems import raise_first
from wtal.data.provenance import Origin, Provenance, origin_path, write_origin

ABOUT = {"feature": "extracted elsewhere", "source": "OpenTAD / ActionFormer layout", "beyond_duration": True}
USUAL = "I3D on THUMOS14 has --stride 4 --window 16 --fps 30, TSP on ActivityNet --stride 16 --window 16 --fps 15"
MOVED = "no training subset: its validation subset is taken for training, as is usual for THUMOS14"
MOST_NAMED = 3  # examples in a message


@dataclass(frozen=True)
class FeatureTiming:
    """How features made elsewhere lie in time: each of `window` frames, `stride` frames apart, at `fps` a second.

    Without `fps` the annotations say it for each video. Raises ConfigError where one is not above 0.
    """

    stride: int | None = None
    window: int | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        for name in ("stride", "window", "fps"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"--{name} is {value:g}; use a number above 0")


@dataclass(frozen=True)
class OpenTadPaths:
    """Where things lie: the annotations, and the feature file of each video id that has one."""

    annotations: Path
    database: Mapping[str, Any]
    files: Mapping[str, Path]


def find_opentad(source: Path) -> OpenTadPaths | None:
    """The JSON in `source` or a folder in it, and the features up to two folders deep; None where they are not.

    Raises DataError when there are several of either, or none of the files is called as a video is.
    """
    folders = {path.parent for depth in ("*", "*/*", "*/*/*") for path in source.glob(f"{depth}.npy")}
    jsons = sorted([*source.glob("*.json"), *source.glob("*/*.json")]) if folders else []
    databases = {path: database for path in jsons if (database := _database(path)) is not None}
    if not databases:
        return None
    annotations = _only(databases, source, "JSON files of annotations")
    database = databases[annotations]
    found = {folder: files for folder in sorted(folders) if (files := _files(folder, database))}
    if not found:
        names = ", ".join(path.name for path in sorted(next(iter(folders)).glob("*.npy"))[:MOST_NAMED])
        raise DataError(f"{annotations}: none of its ids is in the name of a feature file ({names}, ...); rename them")
    return OpenTadPaths(annotations, database, found[_only(found, source, "folders of features")])


def convert_opentad(
    layout: OpenTadPaths, out: Path, grid: FeatureTiming, progress: Callable[[int, int], object] | None = None
) -> tuple[tuple[Video, ...], tuple[str, ...]]:
    """Write the layout as a plain folder at `out`; returns its videos and what deserves a remark.

    Videos without features are left out, and said. Good files of an earlier run are kept. Raises DataError
    where the grid is not known, and on what does not fit.
    """
    known = read_activitynet(layout.annotations)
    listed = with_training(known)
    videos = [video for video in listed if video.id in layout.files]
    raise_first(unusable_ids(videos, layout.annotations))
    rates = _rates(videos, layout, grid)
    lengths, width = _shapes(layout.files)
    usual = Counter(rates.values()).most_common(1)[0][0]
    for number, video in enumerate(videos, start=1):
        place = features_path(out, video.id)
        _copy(layout.files[video.id], place, lengths[video.id], width)
        _write_times(place, lengths[video.id], grid, rates[video.id], usual, len(set(rates.values())) > 1)
        if progress:
            progress(number, len(videos))
    remarks = [MOVED] if listed != known else []
    classes = sorted({label for video in videos for label in video.labels})
    write_dataset_info(out, videos, _clock(grid, usual), classes, (width,), ABOUT)
    return tuple(videos), tuple(remarks + _remarks(listed, layout, width))


def _database(path: Path) -> Mapping[str, Any] | None:
    value = read_json(path)
    database = value.get("database") if isinstance(value, dict) else None
    return database if isinstance(database, dict) else None


def _only(found: Iterable[Path], source: Path, what: str) -> Path:
    paths = list(found)
    if len(paths) > 1:
        names = ", ".join(str(path.relative_to(source)) for path in paths[:MOST_NAMED])
        raise DataError(f"{source}: holds {len(paths)} {what} ({names}); take all but one out of it")
    return paths[0]


def _files(folder: Path, ids: Iterable[str]) -> dict[str, Path]:
    """Video id -> its file; the prefix is what most names have before an id."""
    known = set(ids)
    stems = {path.stem: path for path in sorted(folder.glob("*.npy"))}
    starts = (next((k for k in range(len(stem)) if stem[k:] in known), None) for stem in stems)
    prefixes = Counter(stem[:k] for stem, k in zip(stems, starts, strict=True) if k is not None)
    if not prefixes:
        return {}
    prefix = prefixes.most_common(1)[0][0]
    return {id: stems[prefix + id] for id in ids if prefix + id in stems}


def _rates(videos: Sequence[Video], layout: OpenTadPaths, grid: FeatureTiming) -> dict[str, float]:
    """Frames a second of each video, as asked for or as the annotations say it."""
    if grid.stride is None or grid.window is None:
        raise DataError(
            f"{layout.annotations.parent}: features of OpenTAD / ActionFormer do not say their times; "
            f"give --stride and --window in frames, and --fps ({USUAL})"
        )
    if grid.fps is not None:
        return dict.fromkeys((video.id for video in videos), grid.fps)
    rates: dict[str, float] = {}
    for video in videos:
        fps = layout.database[video.id].get("fps")
        if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps < math.inf:
            raise DataError(f"{layout.annotations}, {video.id}: fps is {fps!r}; give --fps ({USUAL})")
        rates[video.id] = float(fps)
    return rates


def _clock(grid: FeatureTiming, fps: float) -> SnippetClock:
    """A window is centred on its snippet: feature i is centred on frame i * stride + window / 2."""
    assert grid.stride is not None and grid.window is not None
    return SnippetClock(grid.stride / fps, (grid.window - grid.stride) / 2 / fps)


def _shapes(files: Mapping[str, Path]) -> tuple[dict[str, int], int]:
    """T of each file, and D of all. Raises DataError where they differ, as those of files laid D x T do."""
    shapes = {id: open_features(path).shape for id, path in files.items()}
    widths = Counter(shape[1] for shape in shapes.values())
    if len(widths) == 1:
        return {id: shape[0] for id, shape in shapes.items()}, next(iter(widths))
    path = next(iter(files.values()))
    heights = {shape[0] for shape in shapes.values()}
    if len(heights) == 1:
        raise DataError(f"{path.parent}: all features have {heights.pop()} rows, so they are D x T; transpose them")
    usual = widths.most_common(1)[0][0]
    odd = next(id for id, shape in shapes.items() if shape[1] != usual)
    raise DataError(f"{files[odd]}: {shapes[odd][1]} numbers a snippet, most have {usual}; extract it again")


def _copy(path: Path, place: Path, length: int, width: int) -> None:
    try:
        if open_features(place, width).shape[0] == length:
            return
    except DataError:
        pass  # not there yet, or not whole
    write_features(place, open_features(path))


def _write_times(place: Path, length: int, grid: FeatureTiming, fps: float, usual: float, differ: bool) -> None:
    """Where the rates differ each video has times of its own, else none that an earlier conversion wrote."""
    if not differ:
        origin_path(place).unlink(missing_ok=True)
        return
    assert grid.stride is not None and grid.window is not None
    kind = Provenance("features extracted elsewhere", "", usual, grid.stride, grid.window, side=0, crop=None)
    write_origin(place, Origin(kind, _clock(grid, fps).seconds(np.arange(length + 1))))


def _remarks(listed: Sequence[Video], layout: OpenTadPaths, width: int) -> list[str]:
    remarks: list[str] = []
    if lacking := [video.id for video in listed if video.id not in layout.files]:
        folder = next(iter(layout.files.values())).parent
        named = ", ".join(lacking[:MOST_NAMED]) + ", ..." * (len(lacking) > MOST_NAMED)
        remarks.append(f"{len(lacking)} of {len(listed)} videos have no features in {folder}, left out: {named}")
    if width == 2048:
        remarks.append('if these are RGB and flow of I3D, say "modalities": [1024, 1024] in dataset.json')
    return remarks
