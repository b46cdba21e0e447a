"""Commands that check a data set and convert between formats."""

from pathlib import Path
from typing import Annotated
from zipfile import is_zipfile

import typer

from wtal.cli.app import DataArgument, FormatOption, command, console, print_line
from wtal.core.errors import ConfigError, DataError
from wtal.core.text import format_count

SourceFormatOption = Annotated[
    str, typer.Option("--from", metavar="NAME", help="Annotation format to read", show_default="detected")
]
FrameRateOption = Annotated[
    float | None, typer.Option(metavar="RATE", help="Frames per second, for formats with frame numbers")
]


@command("wtal check mydata")
def check(data: DataArgument, format: FormatOption = "terminal") -> None:
    """Summarize a data set folder and list every problem in it with its fix."""
    from wtal.data.dataset import is_dataset
    from wtal.data.layouts.registry import require_not_layout
    from wtal.data.validation import validate_dataset
    from wtal.reporting.progress import count_progress
    from wtal.reporting.tables import open_output
    from wtal.reporting.validation_tables import validation_blocks

    if not is_dataset(data):
        require_not_layout(data)
    with open_output(console, format) as output:
        with count_progress("reading", output.messages) as progress:
            report = validate_dataset(data, progress)
        output.print(validation_blocks(report))
    if report.fatal:
        raise typer.Exit(2)


@command(
    "wtal convert Thumos14reduced thumos14",
    "wtal convert i3d_features mydata --stride 4 --window 16 --fps 30",
    "wtal convert proposals.json subtitles.srt --video v_1",
    "wtal convert proposals.json events.csv --to boris",
)
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Features in a public layout ({layouts}), or an annotation file",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Data set folder or annotation file to write")],
    stride: Annotated[
        int | None,
        typer.Option(metavar="FRAMES", help="OpenTAD / ActionFormer: frames from one snippet to the next"),
    ] = None,
    window: Annotated[
        int | None, typer.Option(metavar="FRAMES", help="Frames covered by one snippet", show_default="the stride")
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Frames per second, for features without a rate and annotation formats with frame numbers",
            show_default="the rate in the JSON",
        ),
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Annotation format to write: {formats}",
            show_default="by the extension of OUT; .csv is a plain table",
        ),
    ] = "",
    source_format: SourceFormatOption = "",
    video: Annotated[
        str, typer.Option(metavar="ID", help="Convert the annotations of one video only", show_default="all")
    ] = "",
) -> None:
    """Convert a public feature layout to a data set folder, or annotations from one format to another.

    A layout is a folder or a zip file; an interrupted conversion continues when it is run again. Annotations
    (proposals, ground truth, subtitles) are a file, or a folder of files with --to or --from.
    """
    if not source.exists():
        raise DataError("no such file or folder", path=source, code="file-not-found")
    has_layout = source.is_dir() or (source.is_file() and is_zipfile(source))
    if not has_layout or to or source_format or video:
        if (stride, window) != (None, None):
            raise ConfigError(
                "--stride and --window apply to feature layouts only", hint="leave them out", code="invalid-option"
            )
        _convert_annotations(source, out, to, source_format, video, fps)
    else:
        _convert_layout(source, out, stride, window, fps)


def _convert_layout(source: Path, out: Path, stride: int | None, window: int | None, fps: float | None) -> None:
    from wtal.data.layouts.base import FeatureTiming
    from wtal.data.layouts.convert import convert_layout
    from wtal.reporting.progress import count_progress

    with count_progress("converting", console) as progress:
        converted = convert_layout(source, out, timing=FeatureTiming(stride, window, fps), on_progress=progress)
    print_line(f"{converted.layout}: {format_count(len(converted.videos), 'sequence')} written to {converted.path}")
    for remark in converted.remarks:
        print_line(f"note: {remark}")


def _convert_annotations(source: Path, out: Path, to: str, source_format: str, video: str, fps: float | None) -> None:
    from wtal.data.annotations.convert import convert_annotations

    converted = convert_annotations(source, out, source_format=source_format, target_format=to, video_id=video, fps=fps)
    print_line(
        f"{converted.source_format} to {converted.target_format}: "
        f"{format_count(converted.segments, 'segment')} of {format_count(converted.videos, 'video')} written to {out}"
    )
    for warning in converted.warnings:
        print_line(f"note: {warning}")


@command("wtal label mydata corrected.vtt", "wtal label mydata corrected --from elan --complete")
def label(
    data: DataArgument,
    annotations: Annotated[
        Path, typer.Argument(metavar="ANNOTATIONS", help="Annotation file, or folder of such files")
    ],
    complete: Annotated[
        bool, typer.Option("--complete", help="Nothing else happens in these videos: the rest is background")
    ] = False,
    source_format: SourceFormatOption = "",
    fps: FrameRateOption = None,
) -> None:
    """Add segments and points to training videos, for `wtal train --supervision all`.

    They replace those that a video had. A segment of zero length is a point: a time inside an instance whose start and
    end are unknown.
    """
    from wtal.data.add_labels import add_labels
    from wtal.data.annotations.convert import read_annotations

    file, _ = read_annotations(annotations, source_format or None, fps)
    added = add_labels(data, file.annotations, complete)
    print_line(
        f"{format_count(added.segments, 'segment')} and {format_count(added.points, 'point')} in "
        f"{format_count(added.videos, 'training video')}, "
        f"{added.complete:,} of them complete"
    )
    for remark in (*map(str, file.warnings), *added.remarks):
        print_line(f"note: {remark}")


@command(
    "wtal budget timeline.json --data mydata --out budget.csv",
    "wtal budget anna.csv --against ben.csv",
    "wtal budget timeline.json --against corrected --from elan --out agreement.csv",
)
def budget(
    annotations: Annotated[
        Path,
        typer.Argument(
            metavar="ANNOTATIONS",
            help="Annotation file such as timeline.json, folder of such files, or data set folder",
        ),
    ],
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="REFERENCE",
            help="Annotations of the same videos to compare with, such as those of a second person",
            show_default="none",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA", help="Data set folder with the durations of the videos", show_default="those in the files"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV file to write, a row per video and class")
    ] = None,
    bin_width: Annotated[
        float, typer.Option("--bin", metavar="SECONDS", help="Width of the time bins of Cohen's kappa")
    ] = 0.1,
    tiou: Annotated[float, typer.Option(metavar="TIOU", help="tIoU from which two bouts match; 0: any overlap")] = 0.5,
    tolerance: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="Difference of start and of end up to which two bouts match too"),
    ] = 0.5,
    source_format: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="NAME",
            help="Annotation format of a folder, and of files with its extension",
            show_default="detected",
        ),
    ] = "",
    fps: FrameRateOption = None,
    format: FormatOption = "terminal",
) -> None:
    """Show how often and how long each class occurs, and with --against how well two annotations agree.

    Both annotations must be complete. A segment of zero length is counted as a point and adds no time.
    """
    from wtal.core.io import require_output_file, write_text
    from wtal.data.annotations.sources import common_videos, read_durations, read_segments
    from wtal.evaluation.agreement import AgreementOptions, agreement_by_video, measure_agreement
    from wtal.evaluation.time_budget import time_budget
    from wtal.reporting.budget_tables import agreement_blocks, budget_blocks, budget_csv, budget_remarks
    from wtal.reporting.tables import Block, open_output

    options = AgreementOptions(bin_width, tiou, tolerance)
    if out is not None:
        require_output_file(out, (annotations, against, data), _is_budget)
    sources = [read_segments(path, source_format, fps) for path in (annotations, against) if path]
    videos, remarks = common_videos(*sources) if against else (list(sources[0].segments), [])
    known_durations = read_durations(data, sources[0]) if data else {}
    for source in sources:
        known_durations = {**source.durations, **known_durations}
    durations = {id: known_durations.get(id) for id in videos}
    segments = [{id: source.segments[id] for id in videos} for source in sources]
    classes = {segment.label for side in segments for group in side.values() for segment in group}
    budgets = [time_budget(side, durations, classes) for side in segments]
    names = _distinct_names([source.path for source in sources])
    by_name = dict(zip(names, budgets, strict=True))
    blocks: list[Block]
    if against:
        agreement = measure_agreement(segments[0], segments[1], durations, options)
        by_video = agreement_by_video(segments[0], segments[1], durations, options)
        blocks = [*agreement_blocks(by_name, agreement, by_video)]
        text = budget_csv(budgets[0], budgets[1], agreement, by_video)
    else:
        blocks = [*budget_blocks(budgets[0], names[0])]
        text = budget_csv(budgets[0])
    remarks += dict.fromkeys(remark for source in sources for remark in source.remarks)  # each one once
    remarks += budget_remarks(by_name, "" if data else "name the data set with --data")
    for name, side in zip(names, segments, strict=True):
        if by_name[name].overlapping and any(s.score is not None for group in side.values() for s in group):
            remarks.append(f"{name} holds alternatives; `wtal predict` writes the shown segments to timeline.json")
    with open_output(console, format) as output:
        output.print([*blocks, *(f"note: {remark}" for remark in remarks)])
        if out is not None:
            write_text(out, text)
            output.print([f"written to {out}"])


def _distinct_names(paths: list[Path]) -> list[str]:
    """The file names if they differ, else the paths; numbered if a file is compared with itself."""
    for names in ([path.name or str(path) for path in paths], list(map(str, paths))):
        if len(set(names)) == len(names):
            return names
    return [f"{path} ({number})" for number, path in enumerate(paths, start=1)]


def _is_budget(path: Path) -> bool:
    """Whether a file was written by `wtal budget`."""
    with path.open("rb") as file:
        return file.read(30).startswith(b"video,class,bouts,points,")
