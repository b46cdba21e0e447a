"""The command that rehearses a benchmark without its features.

FROM: Commands that look at a data set, or convert one.
"""

from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import Data, app, console, say
from wtal.core.errors import ConfigError, DataError
from wtal.data.annotations.registry import NAMES

PANEL = "Data sets"


@app.command(rich_help_panel=PANEL)
def check(data: Data) -> None:
    """Say what is in a data set folder, and everything that is wrong with it."""
    from wtal.data.validation import validate_dataset
    from wtal.reporting.tables import render_validation
    from wtal.reporting.terminal import counting

    with counting("reading", console) as progress:
        report = validate_dataset(data, progress)
    render_validation(report, console)
    if report.fatal:
        raise typer.Exit(2)


@app.command(rich_help_panel=PANEL)
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="W-TALC bundle, BaS-Net / CoLA or OpenTAD / ActionFormer folder; or a file of timelines",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The plain data set folder, or the timelines, to write")],
    stride: Annotated[
        int | None,
        typer.Option(metavar="FRAMES", help="OpenTAD / ActionFormer: frames from one snippet to the next"),
    ] = None,
    window: Annotated[
        int | None, typer.Option(metavar="FRAMES", help="Frames that one snippet saw", show_default="the stride")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(metavar="RATE", help="Frames a second", show_default="as the JSON says")
    ] = None,
    to: Annotated[
        str,
        typer.Option(metavar="NAME", help=f"Timelines: the format to write, {', '.join(NAMES)}", show_default=False),
    ] = "",
    of: Annotated[
        str, typer.Option("--from", metavar="NAME", help="The format to read", show_default="as it looks")
    ] = "",
    video: Annotated[str, typer.Option(metavar="ID", help="The one video to take", show_default="all")] = "",
) -> None:
    """Convert a public layout to a plain data set folder, or timelines from one format to another.

    A layout is a folder; stopped, its conversion goes on when run again. Timelines (proposals, annotations,
    subtitles ...) are a file, or with --to or --from a folder of such.
    """
    if not source.exists():
        raise DataError(f"{source}: there is no such file or folder")
    if source.is_file() or to or of or video:
        if (stride, window) != (None, None):
            raise ConfigError("timelines have no snippets; leave out --stride and --window")
        _convert_timelines(source, out, to, of, video, fps)
    else:
        _convert_layout(source, out, stride, window, fps)


def _convert_layout(source: Path, out: Path, stride: int | None, window: int | None, fps: float | None) -> None:
    from wtal.data.layouts.convert import convert_layout as convert_layout
    from wtal.data.layouts.opentad import FeatureTiming
    from wtal.reporting.terminal import counting

    with counting("converting", console) as progress:
        made = convert_layout(source, out, progress, FeatureTiming(stride, window, fps))
    say(f"{made.layout}: {len(made.videos)} sequences written to {made.out}")
    for remark in made.remarks:
        say(f"note: {remark}")


def _convert_timelines(source: Path, out: Path, to: str, of: str, video: str, fps: float | None) -> None:
    from wtal.data.annotations.convert import convert_annotations

    made = convert_annotations(source, out, to, of, video, fps)
    say(f"{made.source} to {made.made}: {made.segments:,} segments of {made.videos:,} videos written to {out}")
    for remark in made.remarks:
        say(f"note: {remark}")


@app.command(rich_help_panel=PANEL)
def rehearse(
    annotations: Annotated[
        Path, typer.Argument(metavar="ANNOTATIONS", help="ActivityNet JSON, THUMOS texts or W-TALC arrays")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write")],
    layout: Annotated[str, typer.Option(metavar="NAME", help="plain, wtalc, basnet or actionformer")] = "plain",
    strength: Annotated[float, typer.Option(help="Of what actions show; 0: nothing")] = 1.0,
    context: Annotated[float, typer.Option(help="Of the scenes that classes share")] = 1.0,
    width: Annotated[int, typer.Option(help="Of RGB, and of flow")] = 1024,
    seed: Annotated[int, typer.Option(help="Another seed, other features")] = 0,
    share: Annotated[float, typer.Option(metavar="SHARE", help="Share of each subset to keep")] = 1.0,
) -> None:
    """Make up features for real annotations, in a public layout: a benchmark's whole road before its features."""
    from wtal.data.synthetic.rehearsal import SignalConfig, write_rehearsal
    from wtal.reporting.terminal import counting

    signal = SignalConfig(strength, context, width, seed)
    with counting("making up", console) as progress:
        videos = write_rehearsal(annotations, out, layout, signal, share, progress)
    say(f"{layout}: {len(videos)} sequences with made-up features written to {out}")
    if layout == "actionformer":
        say("such features do not say their times: give --stride 16 --window 16 --fps 25")
