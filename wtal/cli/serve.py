"""The command that serves the web page."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import Run, app, say
from wtal.cli.videos import PANEL, Backbone, Device, FlowWeights, Precision, Weights


@app.command(rich_help_panel=PANEL)
def serve(
    run: Run,
    videos: Annotated[Path, typer.Option(metavar="FOLDER", help="The videos to choose from; uploads go there too")],
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where timelines and corrections are kept", show_default="timelines in --videos"
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Beyond this machine, as 0.0.0.0, the page asks for a token")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0: any that is free")] = 8321,
    backbone: Backbone = "",
    weights: Weights = None,
    flow_weights: FlowWeights = None,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """A web page to see timelines above their videos, correct them, and take them along."""
    from wtal.errors import ConfigError

    if not (find_spec("fastapi") and find_spec("uvicorn")):
        raise ConfigError("the web page needs FastAPI and uvicorn; pip install 'wtal[web]'")
    from wtal.extract.backbones import Choice
    from wtal.web.serve import serve

    choice = Choice(backbone, weights, flow_weights, device, precision)

    def said(address: str) -> None:
        say(f"open {address}")
        say("stop with Ctrl-C; everything is kept")

    serve(run, videos, store or videos / "timelines", choice, host, port, said)
