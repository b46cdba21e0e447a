"""Prepares the data of a benchmark: converts features in a public layout and combines them with the annotations.

OUT/converted    the converted layout, unless the source is a data set folder
OUT/data         data set folder of the runs: all annotated videos, and a link to the features
OUT/source.json  what both were made from
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from wtal.core.errors import ConfigError, DataError
from wtal.core.fingerprint import stat_fingerprint
from wtal.core.io import read_json, realpath, write_json
from wtal.core.structures import Video
from wtal.data.dataset import FAILED_NAME, Dataset, load_dataset, write_dataset_info
from wtal.data.features import features_path
from wtal.data.ground_truth import read_ground_truth
from wtal.data.layouts.activitynet import use_validation_for_training
from wtal.data.layouts.base import FeatureTiming, Layout, OnProgress
from wtal.data.layouts.convert import ConvertedLayout, convert_layout
from wtal.data.layouts.registry import LAYOUTS, detect_layout
from wtal.data.layouts.thumos import AMBIGUOUS_NAME, find_ambiguous_list, read_ambiguous
from wtal.experiments.benchmarks.definitions import Benchmark

STATE_NAME = "source.json"
HINT_OTHER_OUT = "name another --out"


@dataclass(frozen=True)
class PreparedData:
    """Data of a benchmark that runs can use."""

    data: Path  # data set folder
    layout: str  # title of the source's layout
    ambiguous: Path | None  # list of ambiguous intervals
    remarks: tuple[str, ...] = ()

    @property
    def ground_truth(self) -> Path:
        """The ground truth, with the videos that have no features."""
        return self.data / "annotations.json"


def prepare(
    benchmark: Benchmark,
    source: Path,
    out: Path,
    annotations: Path | None = None,
    timing: FeatureTiming | None = None,
    on_progress: OnProgress | None = None,
) -> PreparedData:
    """Convert the source to `out/data`. An interrupted conversion continues, a finished one is reused.

    Args:
        benchmark: The benchmark.
        source: Features in a known layout, or a data set folder. Nothing is written there.
        out: Folder to write.
        annotations: Annotations that replace those of the layout.
        timing: Times of the features that replace those of the benchmark.
        on_progress: Called with the number of converted videos and of all videos.

    Raises:
        DataError: The layout is unknown or malformed.
        ConfigError: `out` was made from another source, or the source has changed.
    """
    _require_separate(source, out)
    layout = _find_layout(benchmark, source)
    inputs = [source, *(layout.inputs(source)[1:] if layout else [])]  # further files may be outside of the source
    made_from = {
        "files": stat_fingerprint(*inputs, *([annotations] if annotations else [])),
        "grid": None if timing is None else asdict(timing),
    }
    state = _read_state(out, made_from, source)
    if "layout" not in state:
        write_json(out / STATE_NAME, made_from)
        converted = _convert(benchmark, layout, source, out / "converted", timing, on_progress)
        _write_dataset(benchmark, converted, source, annotations or converted.annotations, out / "data")
        # Videos without features, which the layout's annotations list, are reported by the survey
        remarks = [] if converted.annotations else list(converted.remarks)
        state = {**made_from, "layout": converted.layout, "remarks": remarks}
        write_json(out / STATE_NAME, state)
    return PreparedData(out / "data", state["layout"], _find_ambiguous(source, annotations), tuple(state["remarks"]))


def _require_separate(source: Path, out: Path) -> None:
    if not source.exists():
        raise DataError("no such file or folder", path=source, hint="check the path", code="file-not-found")
    out_path, source_path = realpath(out), realpath(source)
    if out_path == source_path or source_path in out_path.parents or out_path in source_path.parents:
        raise ConfigError(
            f"the output is inside {source} or contains it",
            path=out,
            hint=HINT_OTHER_OUT,
            code="nested-paths",
        )


def _find_layout(benchmark: Benchmark, source: Path) -> Layout | None:
    """The layout of the source; None for a data set folder and for an unknown layout."""
    if (source / "dataset.json").is_file():
        return None
    return LAYOUTS[benchmark.layout] if benchmark.layout else detect_layout(source)


def _read_state(out: Path, made_from: dict[str, Any], source: Path) -> dict[str, Any]:
    """The content of source.json; {} to start anew. Raises ConfigError if `out` was made from another source."""
    state = read_json(out / STATE_NAME) if (out / STATE_NAME).is_file() else {}
    if not isinstance(state, dict):
        return {}
    if all(state.get(key) == value for key, value in made_from.items()):
        return state
    if "layout" in state:
        raise ConfigError(
            f"the folder was made from other data than {source}, or the data have changed",
            path=out,
            hint=HINT_OTHER_OUT,
            code="other-data",
        )
    if state:  # an unfinished conversion, and the source has changed since
        shutil.rmtree(out / "converted", ignore_errors=True)
    return {}


def _convert(
    benchmark: Benchmark,
    layout: Layout | None,
    source: Path,
    out: Path,
    timing: FeatureTiming | None,
    on_progress: OnProgress | None,
) -> ConvertedLayout:
    """The source itself if it is a data set folder, otherwise its conversion."""
    if (source / "dataset.json").is_file():
        if timing is not None:
            raise ConfigError(
                "a data set folder defines the times of its features",
                path=source,
                hint="leave out --stride, --window and --fps",
                code="timing-not-supported",
            )
        return ConvertedLayout(source, "plain folder", ())
    if layout is not None and layout.needs_timing:
        overrides = {name: value for name, value in asdict(timing or FeatureTiming()).items() if value is not None}
        timing = replace(benchmark.timing, **overrides)
    return convert_layout(source, out, timing=timing, layout=layout, on_progress=on_progress)


def _write_dataset(
    benchmark: Benchmark, converted: ConvertedLayout, source: Path, annotations: Path | None, out: Path
) -> None:
    """Write the data set folder of the runs; videos without features are listed in failed.json."""
    dataset = load_dataset(converted.path)
    durations = {video.id: video.duration for video in dataset.videos}
    videos = [
        replace(video, duration=video.duration or durations.get(video.id)) for video in _videos(dataset, annotations)
    ]
    missing = [video.id for video in videos if not features_path(converted.path, video.id).is_file()]
    if len(missing) == len(videos):
        reason = f" ({'; '.join(converted.remarks)})" if converted.remarks else ""
        raise DataError(
            f"none of the annotated videos has features{reason}",
            path=annotations or source,
            hint="pass features and annotations of the same videos",
            code="missing-features",
        )
    out.mkdir(parents=True, exist_ok=True)
    link = out / "features"
    link.unlink(missing_ok=True)
    link.symlink_to((converted.path / "features").resolve(), target_is_directory=True)
    labels = sorted({label for video in videos for label in video.labels})
    classes = dataset.classes if annotations is None else labels
    widths = benchmark.widths if dataset.width == sum(benchmark.widths) else dataset.modalities
    write_json(out / FAILED_NAME, dict.fromkeys(missing, "has no features"))
    write_dataset_info(out, videos, dataset.clock, classes, widths, dataset.about)


def _videos(dataset: Dataset, annotations: Path | None) -> Sequence[Video]:
    path = annotations or dataset.path / "annotations.json"
    if annotations is None and not path.is_file():
        return dataset.videos
    return use_validation_for_training(read_ground_truth(path))


def _find_ambiguous(source: Path, annotations: Path | None) -> Path | None:
    """The list of ambiguous intervals: beside the annotations, in the source or in a folder of it."""
    beside = (annotations.parent if annotations.is_file() else annotations) / AMBIGUOUS_NAME if annotations else None
    path = beside if beside and beside.is_file() else find_ambiguous_list(source)
    if path is not None:
        read_ambiguous(path)  # reports an invalid file before anything is trained
    return path
