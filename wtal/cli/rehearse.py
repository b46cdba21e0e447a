"""The command that rehearses a benchmark without its features."""

from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import app, console, say
from wtal.cli.data import PANEL


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
    from wtal.report.progress import counting
    from wtal.synthetic.rehearsal import write_rehearsal
    from wtal.synthetic.signal import SignalConfig

    signal = SignalConfig(strength, context, width, seed)
    with counting("making up", console) as progress:
        videos = write_rehearsal(annotations, out, layout, signal, share, progress)
    say(f"{layout}: {len(videos)} sequences with made-up features written to {out}")
    if layout == "actionformer":
        say("such features do not say their times: give --stride 16 --window 16 --fps 25")
