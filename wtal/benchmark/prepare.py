"""From whatever public layout a folder has to a plain data set folder, and the truth to score it by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wtal.benchmark.spec import Benchmark
from wtal.errors import DataError
from wtal.features import features_path
from wtal.files import read_json, write_json
from wtal.formats.actionformer import Grid, find_actionformer
from wtal.formats.convert import convert, find_bundle
from wtal.formats.hapt import convert_hapt
from wtal.formats.plain import FAILED, read_folder, write_folder_info
from wtal.formats.thumos import read_ambiguous
from wtal.formats.truth import AMBIGUOUS, read_truth
from wtal.records import Video

REHEARSAL = "rehearsal.json"
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Prepared:
    """A benchmark ready to train on."""

    data: Path  # a plain folder
    layout: str  # what the source was taken for
    truth: Path  # what proposals are scored against: videos without features too
    ambiguous: Path | None
    remarks: tuple[str, ...] = ()
    made_up: bool = False  # a rehearsal: real annotations, made-up features


def prepare(
    benchmark: Benchmark,
    source: Path,
    out: Path,
    annotations: Path | None = None,
    grid: Grid | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Find which layout `source` has and convert it to `out`/data; a plain folder is used where it lies.

    `annotations` take the place of the layout's own. A conversion that was stopped goes on. Raises DataError
    where the layout is not known, or does not fit.
    """
    data, layout, remarks = _converted(benchmark, source, out / "data", grid or benchmark.grid, progress)
    truth = _truth(source, data, layout)
    if annotations is not None:
        data = _annotated(data, out / "data", annotations)
        truth = annotations
    if data != source:
        _say_modalities(data, benchmark.widths)
        _leave_out_missing(data)
    made_up = (source / REHEARSAL).is_file() if source.is_dir() else False
    return Prepared(data, layout, truth, _ambiguous(source, annotations), remarks, made_up)


def _converted(
    benchmark: Benchmark, source: Path, out: Path, grid: Grid, progress: Progress | None
) -> tuple[Path, str, tuple[str, ...]]:
    if benchmark.name == "hapt" and not (source / "dataset.json").is_file():
        convert_hapt(source, out, progress)
        return out, "UCI archive", ()
    if (source / "dataset.json").is_file():
        return source, "plain folder", ()
    known_times = find_bundle(source) is not None or (source / "gt.json").is_file()
    made = convert(source, out, progress, None if known_times and grid == benchmark.grid else grid)
    return made.out, made.layout, made.remarks


def _truth(source: Path, data: Path, layout: str) -> Path:
    """The annotations as they came, where the plain folder leaves videos without features out."""
    if layout == "OpenTAD / ActionFormer" and (found := find_actionformer(source)) is not None:
        return found.annotations
    return data / "annotations.json"


def _annotated(data: Path, out: Path, annotations: Path) -> Path:
    """A plain folder with the features of `data` and other annotations; `data` itself stays as it is."""
    folder = read_folder(data)
    here = {video.id: video for video in folder.videos if folder.features_path(video.id).is_file()}
    known = read_truth(annotations)
    videos = [replace(v, duration=v.duration or here[v.id].duration) for v in known if v.id in here]
    if not videos:
        raise DataError(f"{annotations}: names none of the videos in {data}; use the annotations of these features")
    if data != out:
        out.mkdir(parents=True, exist_ok=True)
        link = out / "features"
        if not link.exists():
            link.symlink_to((data / "features").resolve(), target_is_directory=True)
    classes = sorted({label for video in videos for label in video.labels})
    write_folder_info(out, with_training(videos), folder.clock, classes, folder.modalities, folder.about)
    return out


def with_training(videos: Sequence[Video]) -> list[Video]:
    """Without a training subset its validation part is the training one, as in THUMOS14."""
    if any(video.subset == "training" for video in videos):
        return list(videos)
    return [replace(v, subset="training") if v.subset == "validation" else v for v in videos]


def _say_modalities(data: Path, widths: tuple[int, ...]) -> None:
    """Write down that features are RGB beside flow, where their width says so and nobody else did."""
    folder = read_folder(data)
    if folder.width == sum(widths) and folder.modalities != widths:
        about = read_json(data / "dataset.json")
        write_json(data / "dataset.json", {**about, "modalities": list(widths)})


def _leave_out_missing(data: Path) -> None:
    """Let training pass over videos without features; they still count when proposals are scored."""
    videos = read_truth(data / "annotations.json")
    missing = [video.id for video in videos if not features_path(data, video.id).is_file()]
    if len(missing) == len(videos):
        raise DataError(f"{data}: no video has features; name the folder that holds annotations and features")
    write_json(data / FAILED, dict.fromkeys(missing, "has no features"))


def _ambiguous(source: Path, annotations: Path | None) -> Path | None:
    """The list of ambiguous intervals, wherever a bundle has it."""
    places = [place if place.is_dir() else place.parent for place in (annotations, source) if place is not None]
    for place in places:
        for path in (place / AMBIGUOUS, *sorted(place.glob(f"*/{AMBIGUOUS}"))):
            if path.is_file():
                read_ambiguous(path)
                return path
    return None
