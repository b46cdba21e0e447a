"""The command that takes a model elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import Run, app, say
from wtal.cli.learning import PANEL


@app.command(rich_help_panel=PANEL)
def export(
    run: Run,
    onnx: Annotated[Path, typer.Option(metavar="FILE", help="The .onnx file to write")],
) -> None:
    """Write what inference needs, the local branch and its settings, as one file that runs without PyTorch."""
    from wtal.export import export_onnx

    meta = export_onnx(run, onnx)
    size = onnx.stat().st_size / 1e6
    say(f"{len(meta.classes)} classes, {sum(meta.modalities)} numbers a snippet, {size:.2f} MB: {onnx}")
