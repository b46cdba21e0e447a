"""The command that serves the web page.

FROM: The command that chooses from which score on a proposal is shown.
FROM: The command that takes a model elsewhere.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import Data, Run, app, console, say
from wtal.cli.train import PANEL
from wtal.cli.video import PANEL as VIDEO_PANEL
from wtal.cli.video import Backbone, Device, FlowWeights, Precision, Weights


@app.command(rich_help_panel=PANEL)
def calibrate(
    run: Run,
    data: Data,
    subset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which sequences",
            show_default="validation, else what training held out, else training",
        ),
    ] = None,
    aim: Annotated[str, typer.Option(metavar="AIM", help="What to print a table of: f1 or precision=0.9")] = "f1",
    per_minute: Annotated[
        int | None,
        typer.Option(metavar="N", help="Show at most so many that begin in a minute", show_default="any"),
    ] = None,
    shortest: Annotated[float, typer.Option(metavar="SECONDS", help="Show nothing shorter")] = 0.0,
    longest: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Show nothing longer", show_default="any")
    ] = None,
) -> None:
    """Choose from which score on each class is shown, for `wtal predict`: by segments, else by tags alone."""
    from wtal.inference.calibration import CALIBRATION_NAME, calibrate_run, sentence, wanted_precision
    from wtal.inference.postprocessing import SegmentConstraints
    from wtal.reporting.tables import operating_sheet, terminal

    wanted_precision(aim)  # before the work
    calibration = calibrate_run(run, data, subset, SegmentConstraints(per_minute, shortest, longest))
    console.print(terminal(operating_sheet(calibration, aim)))
    say(sentence(calibration.at(aim)))
    if calibration.subset == "training":
        say("note: the model has seen these videos and is surer of them than of others; keep some for validation")
    say(f"written to {run / CALIBRATION_NAME}")


@app.command(rich_help_panel=PANEL)
def export(
    run: Run,
    onnx: Annotated[Path, typer.Option(metavar="FILE", help="The .onnx file to write")],
) -> None:
    """Write what inference needs, the local branch and its settings, as one file that runs without PyTorch."""
    from wtal.inference.onnx import export_onnx

    meta = export_onnx(run, onnx)
    size = onnx.stat().st_size / 1e6
    say(f"{len(meta.classes)} classes, {sum(meta.modalities)} numbers a snippet, {size:.2f} MB: {onnx}")


@app.command(rich_help_panel=VIDEO_PANEL)
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
    from wtal.core.errors import ConfigError

    if not (find_spec("fastapi") and find_spec("uvicorn")):
        raise ConfigError("the web page needs FastAPI and uvicorn; pip install 'wtal[web]'")
    from wtal.video.backbones.registry import BackboneOptions
    from wtal.web.server import serve

    choice = BackboneOptions(backbone, weights, flow_weights, device, precision)

    def said(address: str) -> None:
        say(f"open {address}")
        say("stop with Ctrl-C; everything is kept")

    serve(run, videos, store or videos / "timelines", choice, host, port, said)
