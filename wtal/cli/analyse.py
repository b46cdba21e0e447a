"""The command that tells why proposals lose points."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import app, console, say
from wtal.cli.learning import PANEL, PROTOCOLS


@app.command(rich_help_panel=PANEL)
def analyse(
    proposals: Annotated[
        Path, typer.Argument(metavar="PROPOSALS", help="Anybody's proposals in ActivityNet's result format")
    ],
    truth: Annotated[
        Path,
        typer.Argument(metavar="TRUTH", help="ActivityNet JSON, data set folder, THUMOS texts or W-TALC arrays"),
    ],
    protocol: Annotated[str, typer.Option(metavar="NAME", help=PROTOCOLS)] = "activitynet",
    tiou: Annotated[float, typer.Option(help="tIoU from which on a prediction finds an action")] = 0.5,
    subset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which subset of TRUTH", show_default="the protocol's"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where to write analysis.json and analysis.png",
            show_default="that of PROPOSALS",
        ),
    ] = None,
) -> None:
    """Tell why proposals lose points: errors by kind, what mending each is worth, which actions are missed."""
    from wtal.analysis import analyse as analyse_proposals
    from wtal.files import write_json
    from wtal.formats.results import read_results
    from wtal.formats.truth import find_ambiguous, read_timed_truth
    from wtal.report.analysis_plot import draw_analysis
    from wtal.report.analysis_table import render

    folder = proposals.parent if out is None else out
    numbers, picture = folder / "analysis.json", folder / "analysis.png"
    _require_places(proposals, folder, (proposals, truth), (numbers, picture))
    found = analyse_proposals(
        read_results(proposals), read_timed_truth(truth), protocol, tiou, subset, find_ambiguous(truth)
    )
    write_json(numbers, found.to_json())  # first, as a picture without it is taken for yours
    draw_analysis(picture, found)
    render(found, console)
    say(f"written to {numbers} and {picture}")


def _require_places(proposals: Path, folder: Path, inputs: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Refuse a folder of proposals, a file to write into, and to write over what is to be read or is not ours."""
    from wtal.errors import DataError

    numbers, picture = outputs
    if proposals.is_dir():
        raise DataError(f"{proposals}: is a folder, not proposals; name a file of proposals, then the ground truth")
    if folder.is_file():
        raise DataError(f"{folder}: is a file; name a folder for analysis.json and analysis.png with --out")
    for place in outputs:
        if place.is_dir():
            raise DataError(f"{place}: is a folder; name another one to write to with --out")
        if os.path.realpath(place) in map(os.path.realpath, inputs):
            raise DataError(f"{place}: is one of the files to be read; name another folder with --out")
    if picture.exists() and not numbers.exists():
        raise DataError(
            f"{picture}: is there without its analysis.json, so it may be yours; name a folder with --out"
        )
    if numbers.exists() and not _is_analysis(numbers):
        raise DataError(f"{numbers}: holds something else, which would be lost; name another folder with --out")


def _is_analysis(path: Path) -> bool:
    """Whether a file is what this command writes."""
    from wtal.errors import DataError
    from wtal.files import read_json

    try:
        value = read_json(path)
    except DataError:
        return False
    return isinstance(value, dict) and "lowest_tiou" in value
