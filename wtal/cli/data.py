"""Commands that look at a data set, or convert one."""

from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import Data, app, console, say

PANEL = "Data sets"


@app.command(rich_help_panel=PANEL)
def check(data: Data) -> None:
    """Say what is in a data set folder, and everything that is wrong with it."""
    from wtal.check import inspect
    from wtal.report.folder_table import render
    from wtal.report.progress import counting

    with counting("reading", console) as progress:
        report = inspect(data, progress)
    render(report, console)
    if report.fatal:
        raise typer.Exit(2)


@app.command(rich_help_panel=PANEL)
def convert(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="W-TALC bundle, BaS-Net / CoLA or OpenTAD / ActionFormer folder"),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The plain data set folder to write")],
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
) -> None:
    """Convert a public layout to a plain data set folder; stopped, it goes on when run again."""
    from wtal.formats.actionformer import Grid
    from wtal.formats.convert import convert as convert_layout
    from wtal.report.progress import counting

    grid = Grid(stride, window, fps)
    with counting("converting", console) as progress:
        made = convert_layout(source, out, progress, grid)
    say(f"{made.layout}: {len(made.videos)} sequences written to {made.out}")
    for remark in made.remarks:
        say(f"note: {remark}")
