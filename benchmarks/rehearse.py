"""Write synthetic features for the annotations of a real benchmark, to test it before its features are there."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from wtal.data.synthetic.benchmark import SignalConfig, write_synthetic_benchmark
from wtal.data.synthetic.layout_writers import WRITERS
from wtal.reporting.progress import count_progress


def main(
    annotations: Annotated[
        Path, typer.Argument(metavar="ANNOTATIONS", help="ActivityNet JSON, THUMOS text files or W-TALC arrays")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write")],
    layout: Annotated[str, typer.Option(metavar="NAME", help=", ".join(WRITERS))] = "plain",
    strength: Annotated[float, typer.Option(help="Strength of actions, 0 for none")] = 1.0,
    context: Annotated[float, typer.Option(help="Strength of scenes that classes share")] = 1.0,
    width: Annotated[int, typer.Option(help="Width of RGB, and of flow")] = 1024,
    seed: Annotated[int, typer.Option(help="Seed of the features")] = 0,
    share: Annotated[float, typer.Option(help="Share of each subset to keep")] = 1.0,
) -> None:
    """Write the folder."""
    signal = SignalConfig(strength, context, width, seed)
    with count_progress("writing", Console()) as progress:
        videos = write_synthetic_benchmark(annotations, out, layout, signal, share, progress)
    print(f"{layout}: {len(videos)} videos with synthetic features written to {out}")
    if layout == "opentad":
        print("this layout does not store times: convert it with --stride 16 --window 16 --fps 25")
