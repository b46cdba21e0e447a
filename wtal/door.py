"""The door of the command line: a user's error is one sentence and exit code 2; never a traceback."""

from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from wtal.errors import WtalError
from wtal.report.say import printable

WAYS_ON = {
    "train": "go on with --resume",
    "localize": "nothing was written",
    "predict": "name the other videos to go on",
    "evaluate": "nothing was written",
    "export": "nothing was written",
    "analyse": "run it again",
}


class Door(TyperGroup):
    """All commands pass here: the exit code is 2 for what the user can mend, 130 for an interrupt."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer carries its own click
        try:
            return super().invoke(ctx)
        except WtalError as error:
            _complain("error: ", str(error))
        except KeyboardInterrupt:
            way_on = WAYS_ON.get(ctx.invoked_subcommand or "", "run it again to go on")
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
