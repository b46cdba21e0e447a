"""Commands that check a data set and convert between formats."""

from pathlib import Path
from typing import Annotated
from zipfile import is_zipfile

import typer

from wtal.cli.app import DataArgument, command, console, print_line
from wtal.core.errors import ConfigError, DataError


@command("wtal check mydata")
def check(data: DataArgument) -> None:
    """Summarize a data set folder and list every problem in it with its fix."""
    from wtal.data.layouts.registry import detect_layout
    from wtal.data.validation import validate_dataset
    from wtal.reporting.progress import count_progress
    from wtal.reporting.validation_tables import render_validation

    is_dataset = any((data / name).is_file() for name in ("annotations.json", "tags.csv", "dataset.json"))
    if not is_dataset and (layout := detect_layout(data)):
        raise DataError(
            f"has the layout {layout.title}",
            path=data,
            hint=f"convert it with `wtal convert {data} FOLDER` and check FOLDER",
            code="not-converted",
        )
    with count_progress("reading", console) as progress:
        report = validate_dataset(data, progress)
    render_validation(report, console)
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
    source_format: Annotated[
        str, typer.Option("--from", metavar="NAME", help="Annotation format to read", show_default="detected")
    ] = "",
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
    print_line(f"{converted.layout}: {len(converted.videos)} sequences written to {converted.path}")
    for remark in converted.remarks:
        print_line(f"note: {remark}")


def _convert_annotations(source: Path, out: Path, to: str, source_format: str, video: str, fps: float | None) -> None:
    from wtal.data.annotations.convert import convert_annotations

    converted = convert_annotations(source, out, source_format=source_format, target_format=to, video_id=video, fps=fps)
    print_line(
        f"{converted.source_format} to {converted.target_format}: {converted.segments:,} segments of "
        f"{converted.videos:,} videos written to {out}"
    )
    for warning in converted.warnings:
        print_line(f"note: {warning}")
