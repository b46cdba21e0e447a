"""The command that writes the report."""

from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import app, say
from wtal.cli.learning import PANEL, PROTOCOLS


@app.command(rich_help_panel=PANEL)
def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run folder, or the folder of a comparison or a benchmark")
    ],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Data set folder", show_default="what a comparison was trained on"),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the video files are, to play them in the page")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write", show_default="report.html in RUN")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help=PROTOCOLS, show_default="the run's own, else activitynet")
    ] = None,
    subset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which sequences", show_default="those that were scored, else testing"),
    ] = None,
) -> None:
    """Write one HTML page of a run: scores, errors, curves, memory, and each video's timeline."""
    from wtal.errors import DataError
    from wtal.report.gather import gather
    from wtal.report.html import write_report

    place = out or run / "report.html"
    if place.is_dir():
        raise DataError(f"{place}: is a folder; name a file with --out")
    write_report(place, gather(run, place, data, videos, protocol, subset))
    say(f"report: {place.absolute()}")
