"""The `wtal` command itself: what all commands share."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from wtal import __version__
from wtal.door import Door
from wtal.report.say import say as say_on

app = typer.Typer(
    cls=Door,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From videos that carry only tags, learn to draw the timeline: what, from when to when, how sure.",
    epilog="The usual way: init, extract, train, predict. `wtal demo` walks it on made-up videos.",
)
console = Console(highlight=False)

Data = Annotated[
    Path,
    typer.Argument(metavar="DATA", help="Data set folder: annotations.json or tags.csv, dataset.json, features/"),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that `wtal train` wrote")]


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Say which version this is")] = False,
) -> None:
    if version:
        console.print(f"wtal {__version__}")
        raise typer.Exit


def say(line: str) -> None:
    """A line as it is: neither markup nor wrapped, so that paths in it can be copied."""
    say_on(console, line)
