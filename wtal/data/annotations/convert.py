"""Conversion of annotation files from one format to another, with warnings on what the new format cannot store."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from wtal.core.errors import ConfigError, DataError
from wtal.core.io import HINT_OTHER_PATH, atomic_write_dir, require_not_input
from wtal.core.text import format_list, is_formula
from wtal.data.annotations.base import (
    Annotation,
    AnnotationFile,
    AnnotationFormat,
    Content,
    ConversionWarning,
    check_unique_ids,
    count_warnings,
    merge_overlaps,
)
from wtal.data.annotations.registry import FORMATS, detect_format, find_format, format_for_output
from wtal.data.features import is_file_name
from wtal.data.problems import abbreviate

MAX_FPS = 1_000_000


@dataclass(frozen=True)
class ConversionResult:
    """Summary of a conversion.

    Attributes:
        source_format: Name of the format that was read.
        target_format: Name of the format that was written.
        videos: Number of videos.
        segments: Number of segments.
        warnings: What was ignored, lost or changed.
    """

    source_format: str
    target_format: str
    videos: int
    segments: int
    warnings: tuple[ConversionWarning, ...]


def convert_annotations(
    source: Path,
    out: Path,
    *,
    source_format: str | None = None,
    target_format: str | None = None,
    video_id: str | None = None,
    fps: float | None = None,
) -> ConversionResult:
    """Convert annotations from one format to another.

    Args:
        source: A file, or a folder with files of one format.
        out: The file to write; for a format with one video per file also a folder. It must not exist.
        source_format: Name of the format of `source`; detected if not given.
        target_format: Name of the format of `out`; chosen by its extension if not given.
        video_id: The only video to convert; all if not given.
        fps: Frames per second, for formats that store frame numbers.

    Raises:
        ConfigError: A format is unknown or ambiguous, or `fps` is missing, unused or out of range.
        DataError: `source` cannot be read or `out` cannot be written.
    """
    target = find_format(target_format) if target_format else format_for_output(out)
    file, origin = read_annotations(source, source_format, fps)
    annotations = _select_video(file.annotations, video_id, source)
    if fps is not None and not (target.needs_fps or target.stores_fps or origin.needs_fps):
        raise ConfigError(
            f"neither {origin.name} nor {target.name} stores frame numbers", hint="omit --fps", code="unused-option"
        )
    if target.needs_fps or (target.stores_fps and fps is not None):
        _require_fps(target, fps)
    _check_output(out, source)
    warnings = [*file.warnings, *conversion_warnings(target, annotations, fps)]
    check_unique_ids((target.normalize_id(annotation.id) for annotation in annotations), source)
    if target.single_video and out.suffix.lower() not in {format.extension for format in FORMATS.values()}:
        atomic_write_dir(out, partial(_write_folder, target, annotations, fps))
    else:
        if target.single_video:
            _check_single_video(target, annotations, source)
            if out.stem != annotations[0].id:  # the file name is the only place for the id
                message = f"the video id is changed to the file name, {abbreviate(out.stem)}"
                warnings.append(ConversionWarning(message, 1, target.name))
        write_annotations(target, out, annotations, fps)
    segments = sum(len(annotation.segments) for annotation in annotations)
    return ConversionResult(origin.name, target.name, len(annotations), segments, tuple(warnings))


def read_annotations(
    source: Path, format: str | None = None, fps: float | None = None
) -> tuple[AnnotationFile, AnnotationFormat]:
    """Read a file, or a folder with files of one format.

    Args:
        source: The file or folder; subfolders are searched.
        format: Name of the format; detected if not given.
        fps: Frames per second, for formats that store frame numbers.

    Returns:
        The content of all files, and their format. If a file holds one video, its path in the folder is the id, as for
        videos: `holiday/beach.srt` is `holiday__beach`.

    Raises:
        ConfigError: The format is unknown, or `fps` is missing.
        DataError: A file cannot be read, its format cannot be detected, or a video appears twice.
    """
    paths = _find_files(source, format) if source.is_dir() else [source]
    formats = {path: find_format(format) if format else detect_format(path) for path in paths}
    names = sorted({format.name for format in formats.values()})
    if len(names) > 1:
        raise DataError(
            "the folder has files of several annotation formats",
            path=source,
            hint=f"choose one with --from, {' or '.join(names)}",
            code="ambiguous-format",
        )
    file_format = formats[paths[0]]
    reads_fps = file_format.needs_fps and not file_format.stores_fps
    fps_argument = [_require_fps(file_format, fps)] if reads_fps else []
    files = [file_format.read(path, *fps_argument) for path in paths]
    if file_format.single_video and source.is_dir():
        for path, file in zip(paths, files, strict=True):
            folders = path.relative_to(source).parts[:-1]
            file.annotations[:] = [replace(a, id="__".join([*folders, a.id])) for a in file.annotations]
    annotations = [annotation for file in files for annotation in file.annotations]
    check_unique_ids((annotation.id for annotation in annotations), source)
    return AnnotationFile(annotations, [warning for file in files for warning in file.warnings]), file_format


def write_annotations(
    format: AnnotationFormat, path: Path, annotations: Sequence[Annotation], fps: float | None = None
) -> None:
    """Write one file.

    Args:
        format: The format to write.
        path: The file.
        annotations: One annotation per video; exactly one if `format.single_video`.
        fps: Frames per second; required if `format.needs_fps`.
    """
    if format.needs_fps or (format.stores_fps and fps is not None):
        fps = _require_fps(format, fps)
    format.write(path, annotations, *([fps] if format.needs_fps or format.stores_fps else []))


def conversion_warnings(
    format: AnnotationFormat, annotations: Sequence[Annotation], fps: float | None = None
) -> list[ConversionWarning]:
    """What a file of this format loses or changes, compared with these annotations.

    Args:
        format: The format to write.
        annotations: What is to be written.
        fps: Frames per second, for formats that store frame numbers.
    """
    segments = [segment for annotation in annotations for segment in annotation.segments]
    labels = {segment.label for segment in segments} | {tag for annotation in annotations for tag in annotation.tags}
    counts: dict[str, int] = {}

    content: dict[Content, tuple[str, int]] = {
        "empty videos": ("videos without segments are removed", sum(not a.segments for a in annotations)),
        "durations": ("video durations are removed", sum(a.duration is not None for a in annotations)),
        "subsets": ("video subsets are removed", sum(bool(a.subset) for a in annotations)),
        "tags": ("tags of videos are removed", sum(bool(a.tags) for a in annotations)),
        "complete timelines": ("the mark of complete timelines is removed", sum(a.complete for a in annotations)),
        "scores": ("scores are removed", sum(s.score is not None for s in segments)),
    }
    counts.update(message_and_count for kind, message_and_count in content.items() if kind not in format.keeps)
    if format.score_note:
        counts[format.score_note] = content["scores"][1]
    if format.requires_scores:
        counts["segments without a score get the score 1.0"] = sum(s.score is None for s in segments)

    renamed = [annotation.id for annotation in annotations if format.normalize_id(annotation.id) != annotation.id]
    if renamed:
        old, new = (abbreviate(repr(id)) for id in (renamed[0], format.normalize_id(renamed[0])))
        counts[f"video ids are changed, such as {old} to {new}"] = len(renamed)

    ticks_per_second = fps if format.needs_fps else format.ticks_per_second
    if ticks_per_second:
        ticks = [(round(s.start * ticks_per_second), round(s.end * ticks_per_second)) for s in segments]
        unit = f"{'frames' if format.needs_fps else 'multiples'} of 1/{ticks_per_second:.9g} s"
        counts[f"times are rounded to {unit}"] = sum(
            abs(start / ticks_per_second - segment.start) > 1e-9 or abs(end / ticks_per_second - segment.end) > 1e-9
            for segment, (start, end) in zip(segments, ticks, strict=True)
        )
        if not format.allows_zero_length:
            zero_length = sum(start == end for start, end in ticks)
            counts[f"shorter segments are extended to 1/{ticks_per_second:.9g} s"] = zero_length

    if format.merges_overlaps and fps:
        merged = sum(
            len(merge_overlaps(annotation.segments, fps, format.normalize_label)) for annotation in annotations
        )
        counts["overlapping segments of a label are merged"] = len(segments) - merged

    changed = sum(format.normalize_label(label) != label for label in labels)
    counts["labels with line breaks or other unsupported characters are changed"] = changed
    if format.extension == ".csv":
        names = labels | {annotation.id for annotation in annotations}
        formulas = sum(map(is_formula, names))
        counts["spreadsheets read names that begin with =, +, - or @ as formulas"] = formulas
    return count_warnings(format.name, counts)


def _find_files(folder: Path, format: str | None) -> list[Path]:
    """The files below a folder with the extension of a format, or of any format with one video per file."""
    if format:
        extensions = [find_format(format).extension]
    else:
        extensions = [candidate.extension for candidate in FORMATS.values() if candidate.single_video]
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in extensions
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts[:-1])
    )
    if not paths:
        raise DataError(
            f"the folder has no {' or '.join(extensions)} file",
            path=folder,
            hint="pass an annotation file" + ("" if format else ", or name the format of the files with --from"),
            code="no-files",
        )
    return paths


def _write_folder(format: AnnotationFormat, annotations: Sequence[Annotation], fps: float | None, folder: Path) -> None:
    for annotation in annotations:
        if not is_file_name(annotation.id):
            raise DataError(
                f"the video id {abbreviate(repr(annotation.id))} is not a valid file name",
                hint="select the video with --video and name the file to write",
                code="invalid-file-name",
            )
        write_annotations(format, folder / f"{annotation.id}{format.extension}", [annotation], fps)


def _select_video(annotations: list[Annotation], video_id: str | None, source: Path) -> list[Annotation]:
    if not annotations:
        raise DataError("the file has no videos", path=source, code="no-videos")
    selected = [annotation for annotation in annotations if not video_id or annotation.id == video_id]
    if not selected:
        ids = format_list([abbreviate(annotation.id) for annotation in annotations])
        message = f"no video with id {abbreviate(repr(video_id))}"
        raise DataError(message, path=source, hint=f"use one of {ids}", code="unknown-video")
    return selected


def _require_fps(format: AnnotationFormat, fps: float | None) -> float:
    if fps is None or not 0 < fps <= MAX_FPS:
        message = f"{format.name} stores frame numbers and needs the frames per second"
        raise ConfigError(message, hint="add an option such as --fps 25", code="invalid-fps")
    return fps


def _check_output(out: Path, source: Path) -> None:
    require_not_input(out, source, Path())
    if out.is_symlink() or out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise DataError("the output exists already", path=out, hint=HINT_OTHER_PATH, code="already-exists")


def _check_single_video(format: AnnotationFormat, annotations: Sequence[Annotation], source: Path) -> None:
    if len(annotations) > 1:
        raise DataError(
            f"holds {len(annotations)} videos, but a {format.name} file holds one",
            path=source,
            hint=f"select one with --video, or name an output folder and --to {format.name}",
            code="several-videos",
        )
