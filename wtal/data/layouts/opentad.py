"""The layout of OpenTAD and ActionFormer: one ActivityNet JSON, and features as `<prefix><id>.npy`."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError
from wtal.core.io import read_json
from wtal.core.text import format_list
from wtal.data.dataset import unusable_ids
from wtal.data.features import features_path, has_features, open_features, write_features
from wtal.data.layouts.activitynet import read_activitynet, use_validation_for_training
from wtal.data.layouts.base import Conversion, FeatureTiming, Layout, OnProgress
from wtal.data.problems import raise_first
from wtal.data.provenance import Origin, Provenance, origin_path, write_origin

ABOUT = {"feature": "extracted elsewhere", "source": "OpenTAD / ActionFormer layout", "beyond_duration": True}
HINT_FPS = "I3D on THUMOS14 has --stride 4 --window 16 --fps 30, TSP on ActivityNet --stride 16 --window 16 --fps 15"
MAX_NAMES = 3  # examples in a message


@dataclass(frozen=True)
class OpenTadPaths:
    """The files of a data set.

    Attributes:
        annotations: The JSON file.
        database: Its entries by video id.
        features: The feature file of each video id that has one.
    """

    annotations: Path
    database: Mapping[str, Any]
    features: Mapping[str, Path]


class OpenTadLayout(Layout):
    """An ActivityNet JSON and one feature file per video, whose times are not stored."""

    title = "OpenTAD / ActionFormer"
    contents = "annotations/*.json with a database, a folder of .npy"
    needs_timing = True

    def detect(self, source: Path) -> bool:
        """Whether a folder has a JSON file with a database, and .npy files. False for a data set folder of wtal."""
        is_plain_folder = (source / "dataset.json").is_file() and (source / "features").is_dir()
        return not is_plain_folder and find_opentad(source) is not None

    def convert(
        self, source: Path, out: Path, timing: FeatureTiming, on_progress: OnProgress | None = None
    ) -> Conversion:
        """Copy the features of each video. Videos without features are left out, and listed in the remarks."""
        paths = find_opentad(source)
        if paths is None:
            raise DataError("no JSON file with a database", path=source, hint="check the path", code="file-not-found")
        annotated = read_activitynet(paths.annotations)
        listed = use_validation_for_training(annotated)
        videos = [video for video in listed if video.id in paths.features]
        raise_first(unusable_ids(videos, paths.annotations))
        if timing.stride is None or timing.window is None:
            raise DataError(
                "features in the OpenTAD / ActionFormer layout do not store their times",
                path=source,
                hint=f"give --stride and --window in frames, and --fps ({HINT_FPS})",
                code="missing-timing",
            )
        fps_by_id = {video.id: timing.fps or _read_fps(paths, video.id) for video in videos}
        lengths, width = _read_shapes(paths.features)
        fps = Counter(fps_by_id.values()).most_common(1)[0][0]
        has_common_fps = len(set(fps_by_id.values())) == 1
        for number, video in enumerate(videos, start=1):
            path = features_path(out, video.id)
            if not has_features(path, lengths[video.id], width):
                write_features(path, open_features(paths.features[video.id]))
            if has_common_fps:  # remove what an earlier conversion with another timing wrote
                origin_path(path).unlink(missing_ok=True)
            else:
                clock = _clock(timing.stride, timing.window, fps_by_id[video.id])
                provenance = Provenance(
                    "features extracted elsewhere", "", fps, timing.stride, timing.window, side=0, crop=None
                )
                write_origin(path, Origin(provenance, clock.seconds(np.arange(lengths[video.id] + 1))))
            if on_progress:
                on_progress(number, len(videos))
        remarks = []
        if listed != annotated:
            remarks.append("no training subset: the validation subset is used for training, as is usual for THUMOS14")
        if missing := [video.id for video in listed if video.id not in paths.features]:
            folder = next(iter(paths.features.values())).parent
            ids = format_list(missing, MAX_NAMES)
            remarks.append(
                f"{len(missing)} of {len(listed)} videos have no features in {folder} and were left out: {ids}"
            )
        if width == 2048:
            remarks.append('if these are RGB and flow of I3D, add "modalities": [1024, 1024] to dataset.json')
        return Conversion(
            videos,
            _clock(timing.stride, timing.window, fps),
            modalities=(width,),
            about=ABOUT,
            remarks=tuple(remarks),
            annotations=paths.annotations,
        )


def find_opentad(source: Path) -> OpenTadPaths | None:
    """Find the JSON file in a folder or its subfolders, and the features at most two folders deep.

    Returns:
        The paths; None if there is no JSON file with a database or no .npy file.

    Raises:
        DataError: There are several of either, or no feature file is named after a video.
    """
    folders = {path.parent for depth in ("*", "*/*", "*/*/*") for path in source.glob(f"{depth}.npy")}
    if not folders:
        return None
    databases: dict[Path, Mapping[str, Any]] = {}
    for path in sorted([*source.glob("*.json"), *source.glob("*/*.json")]):
        content = read_json(path)
        database = content.get("database") if isinstance(content, dict) else None
        if isinstance(database, dict):
            databases[path] = database
    if not databases:
        return None
    annotations = _require_single(databases, source, "JSON files of annotations")
    database = databases[annotations]
    features = {folder: files for folder in sorted(folders) if (files := _files_by_id(folder, database))}
    if not features:
        names = format_list([path.name for path in sorted(next(iter(folders)).glob("*.npy"))], MAX_NAMES)
        raise DataError(
            f"no feature file is named after a video of this file, they are {names}",
            path=annotations,
            hint="rename the feature files",
            code="no-features",
        )
    return OpenTadPaths(annotations, database, features[_require_single(features, source, "folders of features")])


def _require_single(paths: Iterable[Path], source: Path, kind: str) -> Path:
    paths = list(paths)
    if len(paths) > 1:
        names = format_list([str(path.relative_to(source)) for path in paths], MAX_NAMES)
        raise DataError(
            f"contains {len(paths)} {kind} ({names})", path=source, hint="remove all but one", code="ambiguous"
        )
    return paths[0]


def _files_by_id(folder: Path, ids: Iterable[str]) -> dict[str, Path]:
    """The feature file of each video id. All have the prefix that most file names have before an id."""
    known_ids = set(ids)
    files = {path.stem: path for path in sorted(folder.glob("*.npy"))}
    starts = {stem: next((k for k in range(len(stem)) if stem[k:] in known_ids), None) for stem in files}
    prefixes = Counter(stem[:start] for stem, start in starts.items() if start is not None)
    if not prefixes:
        return {}
    prefix = prefixes.most_common(1)[0][0]
    return {id: files[prefix + id] for id in ids if prefix + id in files}


def _read_fps(paths: OpenTadPaths, id: str) -> float:
    """The frame rate that the annotations give for a video."""
    fps = paths.database[id].get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps < math.inf:
        hint = f"give --fps ({HINT_FPS})"
        raise DataError(f"fps is {fps!r}", path=paths.annotations, location=id, hint=hint, code="invalid-value")
    return float(fps)


def _clock(stride: int, window: int, fps: float) -> SnippetClock:
    """Snippet i is centered on the middle of its window, frame i * stride + window / 2."""
    return SnippetClock(stride / fps, (window - stride) / 2 / fps)


def _read_shapes(files: Mapping[str, Path]) -> tuple[dict[str, int], int]:
    """T of each file, and D of all. Raises DataError where D differs, such as for files stored as D x T."""
    shapes = {id: open_features(path).shape for id, path in files.items()}
    widths = Counter(shape[1] for shape in shapes.values())
    width = widths.most_common(1)[0][0]
    if len(widths) == 1:
        return {id: shape[0] for id, shape in shapes.items()}, width
    heights = {shape[0] for shape in shapes.values()}
    if len(heights) == 1:
        raise DataError(
            f"all features have {heights.pop()} rows, so they are stored as D x T",
            path=next(iter(files.values())).parent,
            hint="transpose them",
            code="width-mismatch",
        )
    odd = next(id for id, shape in shapes.items() if shape[1] != width)
    message = f"has {shapes[odd][1]} numbers per snippet, most files have {width}"
    raise DataError(message, path=files[odd], hint="extract it again", code="width-mismatch")
