"""From whatever public layout a folder has to a plain data set folder that a benchmark trains on and is scored by.

OUT/converted    the layout as a plain folder, where it was not plain already
OUT/data         what the runs see: every annotated video, and a link to the features
OUT/source.json  what both were made from
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from wtal.core.errors import ConfigError, DataError
from wtal.core.fingerprint import stat_fingerprint
from wtal.core.io import read_json, realpath, write_json
from wtal.core.structures import Video
from wtal.data.dataset import FAILED_NAME, Dataset, load_dataset, write_dataset_info
from wtal.data.features import features_path
from wtal.data.ground_truth import AMBIGUOUS_NAME, read_ground_truth
from wtal.data.layouts.activitynet import use_validation_for_training
from wtal.data.layouts.base import FeatureTiming, Layout
from wtal.data.layouts.convert import ConvertedLayout, convert_layout
from wtal.data.layouts.registry import LAYOUTS, detect_layout
from wtal.data.layouts.thumos import read_ambiguous
from wtal.experiments.benchmarks.definitions import Benchmark

SOURCE = "source.json"
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Prepared:
    """A benchmark ready to train on."""

    data: Path  # a plain folder
    layout: str  # what the source was taken for
    ambiguous: Path | None
    remarks: tuple[str, ...] = ()

    @property
    def truth(self) -> Path:
        """What proposals are scored against: videos without features too."""
        return self.data / "annotations.json"


def prepare(
    benchmark: Benchmark,
    source: Path,
    out: Path,
    annotations: Path | None = None,
    grid: FeatureTiming | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Find which layout `source` has, convert it once to `out`, and lay out there what the runs see.

    `annotations` take the place of the layout's own, `grid` that of the benchmark's usual one. The source is never
    written to. A conversion that was stopped goes on; one that is done is used. Raises DataError where the
    layout is not known or does not fit, ConfigError where `out` was made from another source, or one that changed.
    """
    _require_apart(source, out)
    layout = _layout_of(benchmark, source)
    inputs = [source, *(layout.inputs(source)[1:] if layout else [])]  # further files may lie outside of the source
    made_from = {
        "files": stat_fingerprint(*inputs, *([annotations] if annotations else [])),
        "grid": None if grid is None else asdict(grid),
    }
    known = _known(out, made_from, source)
    if "layout" not in known:
        write_json(out / SOURCE, made_from)
        plain = _plain_folder(benchmark, layout, source, out / "converted", grid, progress)
        _lay_out(benchmark, plain.path, annotations or plain.annotations, out / "data")
        # Videos without features, which the layout's annotations list, are counted by the survey.
        remarks = [] if plain.annotations else list(plain.remarks)
        known = {**made_from, "layout": plain.layout, "remarks": remarks}
        write_json(out / SOURCE, known)
    return Prepared(out / "data", known["layout"], _ambiguous(source, annotations), tuple(known["remarks"]))


def _known(out: Path, made_from: dict[str, Any], source: Path) -> dict[str, Any]:
    """What source.json says, {} where nothing was finished. Raises ConfigError where it is of another source."""
    known = read_json(out / SOURCE) if (out / SOURCE).is_file() else {}
    same = isinstance(known, dict) and all(known.get(key) == value for key, value in made_from.items())
    if same:
        return known
    if "layout" in known:
        raise ConfigError(f"{out}: was made from other data than {source}, or these changed; name another --out")
    if known:  # it failed, and the source was mended since
        shutil.rmtree(out / "converted", ignore_errors=True)
    return {}


def _require_apart(source: Path, out: Path) -> None:
    if not source.exists():
        raise DataError(f"{source}: there is no such folder or file; name the features")
    ours, theirs = realpath(out), realpath(source)
    if ours == theirs or theirs in ours.parents or ours in theirs.parents:
        raise ConfigError(f"{out}: and {source} lie in each other; name another --out")


def _layout_of(benchmark: Benchmark, source: Path) -> Layout | None:
    """The layout of the source; None for a data set folder and for an unknown layout."""
    if (source / "dataset.json").is_file():
        return None
    return LAYOUTS[benchmark.layout] if benchmark.layout else detect_layout(source)


def _plain_folder(
    benchmark: Benchmark,
    layout: Layout | None,
    source: Path,
    out: Path,
    grid: FeatureTiming | None,
    progress: Progress | None,
) -> ConvertedLayout:
    """The source itself if it is a data set folder, otherwise its conversion."""
    if (source / "dataset.json").is_file():
        _require_no_grid(grid, source)
        return ConvertedLayout(source, "plain folder", ())
    if layout is not None and layout.needs_timing:
        grid = _full(benchmark.grid, grid)
    return convert_layout(source, out, timing=grid, layout=layout, on_progress=progress)


def _require_no_grid(grid: FeatureTiming | None, source: Path) -> None:
    if grid is not None:
        raise ConfigError(f"{source}: the times of its features are known; leave out --stride, --window and --fps")


def _full(usual: FeatureTiming, given: FeatureTiming | None) -> FeatureTiming:
    """What was given, and the benchmark's usual grid for the rest."""
    said = {name: value for name, value in asdict(given or FeatureTiming()).items() if value is not None}
    return replace(usual, **said)


def _lay_out(benchmark: Benchmark, plain: Path, annotations: Path | None, out: Path) -> None:
    """Write what the runs see: annotations, dataset.json, failed.json for what lacks features, and a link."""
    folder = load_dataset(plain)
    durations = {video.id: video.duration for video in folder.videos}
    videos = [replace(v, duration=v.duration or durations.get(v.id)) for v in _videos(folder, annotations)]
    missing = [video.id for video in videos if not features_path(plain, video.id).is_file()]
    if len(missing) == len(videos):
        raise DataError(f"{annotations or plain}: none of its videos has features; name what belongs together")
    out.mkdir(parents=True, exist_ok=True)
    link = out / "features"
    link.unlink(missing_ok=True)
    link.symlink_to((plain / "features").resolve(), target_is_directory=True)
    named = sorted({label for video in videos for label in video.labels})
    classes = folder.classes if annotations is None else named
    widths = benchmark.widths if folder.width == sum(benchmark.widths) else folder.modalities
    write_json(out / FAILED_NAME, dict.fromkeys(missing, "has no features"))
    write_dataset_info(out, videos, folder.clock, classes, widths, folder.about)


def _videos(folder: Dataset, annotations: Path | None) -> Sequence[Video]:
    own = folder.path / "annotations.json"
    if annotations is None and not own.is_file():
        return folder.videos
    return use_validation_for_training(read_ground_truth(annotations or own))


def _ambiguous(source: Path, annotations: Path | None) -> Path | None:
    """The list of ambiguous intervals: beside the annotations, or in the bundle."""
    places = [annotations.parent if annotations.is_file() else annotations] if annotations else []
    if source.is_dir():
        places += [source, *sorted(path for path in source.iterdir() if path.is_dir())]
    found = next((place / AMBIGUOUS_NAME for place in places if (place / AMBIGUOUS_NAME).is_file()), None)
    if found is not None:
        read_ambiguous(found)  # a fault in it is said before anything is trained
    return found
