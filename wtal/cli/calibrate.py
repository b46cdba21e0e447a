"""The command that chooses from which score on a proposal is shown."""

from typing import Annotated

import typer

from wtal.cli.app import Data, Run, app, console, say
from wtal.cli.learning import PANEL


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
    from wtal.calibrate import NAME, calibrate_run
    from wtal.operating import wanted_precision
    from wtal.report.operating_text import operating_sheet, sentence
    from wtal.report.sheet import terminal
    from wtal.tidy import Limits

    wanted_precision(aim)  # before the work
    calibration = calibrate_run(run, data, subset, Limits(per_minute, shortest, longest))
    console.print(terminal(operating_sheet(calibration, aim)))
    say(sentence(calibration.at(aim)))
    if calibration.subset == "training":
        say("note: the model has seen these videos and is surer of them than of others; keep some for validation")
    say(f"written to {run / NAME}")
