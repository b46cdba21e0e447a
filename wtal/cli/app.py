"""The `wtal` command itself: what all commands share.

FROM: The door of the command line: a user's error is one sentence and exit code 2; never a traceback.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from wtal import __version__
from wtal.core.errors import WtalError
from wtal.core.text import print_line as say_on
from wtal.core.text import printable

RESUME_HINTS = {
    "train": "go on with --resume",
    "localize": "nothing was written",
    "predict": "name the other videos to go on",
    "evaluate": "nothing was written",
    "export": "nothing was written",
    "analyse": "run it again",
}


class ErrorHandlingGroup(TyperGroup):
    """All commands pass here: the exit code is 2 for what the user can mend, 130 for an interrupt."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer carries its own click
        try:
            return super().invoke(ctx)
        except WtalError as error:
            _complain("error: ", str(error))
        except KeyboardInterrupt:
            way_on = RESUME_HINTS.get(ctx.invoked_subcommand or "", "run it again to go on")
            _complain("", f"interrupted; what was saved stays, {way_on}")
            raise typer.Exit(130) from None
        except BrokenPipeError:  # `| head` has seen enough
            raise
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            _complain("error: ", f"{place}{(error.strerror or str(error)).lower()}")
        raise typer.Exit(2)


def _complain(kind: str, message: str) -> None:
    text = Text.assemble((kind, "bold"), printable(message))
    Console(stderr=True, highlight=False).print(text, soft_wrap=True)


app = typer.Typer(
    cls=ErrorHandlingGroup,
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
