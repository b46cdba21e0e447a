"""The `wtal` application: the order of its commands, its error handling, and the options that commands share."""

import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from wtal import __version__
from wtal.core import text
from wtal.core.errors import WtalError
from wtal.core.interrupts import record_interrupts
from wtal.core.io import os_error_message

# The panels of `wtal --help` and the commands in each, in the order in which they are used.
PANELS = {
    "Your videos": (
        "start",
        "demo",
        "doctor",
        "init",
        "weights",
        "extract",
        "train",
        "suggest",
        "calibrate",
        "predict",
        "serve",
        "export",
    ),
    "Data sets": ("check", "convert", "label", "budget"),
    "Research": ("localize", "evaluate", "analyse", "compare", "benchmark", "report", "plot"),
}
ORDER = [name for names in PANELS.values() for name in names]

RESUME_HINTS = {
    "train": "saved results are kept, continue with --resume",
    "localize": "nothing was written",
    "predict": "saved results are kept, run it again for the remaining videos",
    "evaluate": "nothing was written",
    "export": "nothing was written",
    "analyse": "run it again",
}


class Command(TyperCommand):
    """A command whose help lists the registered methods, protocols and formats, and shows flags without a type."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        for parameter in self.get_params(ctx):
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
            help_text = getattr(parameter, "help", None) or ""
            for placeholder, names in HELP_LISTS.items():
                if placeholder in help_text:
                    help_text = help_text.replace(placeholder, ", ".join(names()))
                    parameter.help = help_text  # type: ignore[attr-defined]  # options and arguments both have help
        super().format_help(ctx, formatter)


class Group(TyperGroup):
    """A group of commands whose help shows flags without a type."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        for parameter in self.get_params(ctx):
            parameter.metavar = ""
        super().format_help(ctx, formatter)


class ErrorHandlingGroup(Group):
    """Runs a command; the exit code is 2 for an error that the user can fix and 130 for an interrupt."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=ORDER.index)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer has its own copy of click
        try:
            with record_interrupts(signal.SIGINT):
                return super().invoke(ctx)
        except WtalError as error:
            _print_error("error: ", str(error))
            raise typer.Exit(2) from error
        except KeyboardInterrupt:
            _print_error("", f"interrupted; {interrupt_hint(ctx.invoked_subcommand or '')}")
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of a pipe, such as `head`, closed it
            raise
        except OSError as error:
            path = f"{error.filename}: " if error.filename else ""
            _print_error("error: ", f"{path}{os_error_message(error)}")
        raise typer.Exit(2)


def interrupt_hint(command: str) -> str:
    """What an interrupted command has kept, and how to continue."""
    return RESUME_HINTS.get(command, "saved results are kept, run it again to continue")


def _print_error(prefix: str, message: str) -> None:
    line = Text.assemble((prefix, "bold"), text.printable(message))
    Console(stderr=True, highlight=False).print(line, soft_wrap=True)


def _methods() -> Iterable[str]:
    from wtal.core.methods import METHODS

    return METHODS


def _protocols() -> Iterable[str]:
    from wtal.evaluation.protocols import DEFAULT_PROTOCOL, PROTOCOLS

    return (f"{name} (default)" if name == DEFAULT_PROTOCOL else name for name in PROTOCOLS)


def _benchmarks() -> Iterable[str]:
    from wtal.experiments.benchmarks.definitions import BENCHMARKS

    return BENCHMARKS


def _annotation_formats() -> Iterable[str]:
    from wtal.data.annotations.registry import FORMATS

    return FORMATS


def _layouts() -> Iterable[str]:
    from wtal.data.layouts.registry import LAYOUTS

    return (layout.title for layout in LAYOUTS.values())


# Replaced in help texts when help is shown, so that the names stand in one place and help stays fast elsewhere.
HELP_LISTS: dict[str, Callable[[], Iterable[str]]] = {
    "{methods}": _methods,
    "{protocols}": _protocols,
    "{benchmarks}": _benchmarks,
    "{formats}": _annotation_formats,
    "{layouts}": _layouts,
}

app = typer.Typer(
    cls=ErrorHandlingGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Weakly supervised temporal action localization: train on video-level tags, predict segments.",
    epilog="Own videos: start, or step by step init, extract, train, predict, serve. `wtal demo` runs these steps on "
    "synthetic videos.",
)
console = Console(highlight=False)

DataArgument = Annotated[
    Path,
    typer.Argument(metavar="DATA", help="Data set folder: annotations.json or tags.csv, dataset.json, features/"),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder written by `wtal train`")]
ProposalsArgument = Annotated[
    Path, typer.Argument(metavar="PROPOSALS", help="Proposals file in the ActivityNet results format")
]
TruthArgument = Annotated[
    Path,
    typer.Argument(
        metavar="TRUTH", help="Ground truth: ActivityNet JSON, data set folder, THUMOS text files or W-TALC arrays"
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file with the settings that differ from the defaults"),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Override one setting, such as train.steps=1000; repeatable"),
]
MethodOption = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="MODULE:FUNCTION",
        help="Custom method that RUN was trained with, such as my_module:build; its code is imported",
        show_default=False,
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu or cuda")]
SeedsOption = Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="Number of seeds, counted from 0")]
MethodsOption = Annotated[
    str, typer.Option("--methods", metavar="NAMES", help="Comma-separated names, or all: {methods}")
]
ExternalOption = Annotated[
    list[str] | None,
    typer.Option(
        "--external", metavar="NAME=FILE", help="Proposals of another system, shown beside the methods; repeatable"
    ),
]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="NAME",
        help="How to print tables: terminal, latex, markdown, csv or json. All but terminal print the tables alone to "
        "the standard output, and all other lines to the standard error",
    ),
]
ProtocolOption = Annotated[
    str | None, typer.Option("--protocol", metavar="NAME", help="{protocols}", show_default=False)
]
SubsetOption = Annotated[
    str | None,
    typer.Option("--subset", metavar="NAME", help="Subset of TRUTH to score", show_default="the protocol's subset"),
]


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit")] = False,
) -> None:
    if version:
        console.print(f"wtal {__version__}")
        raise typer.Exit


def command(*examples: str, group: typer.Typer = app) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command; `examples` are shown below its help."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        panel = next((panel for panel, names in PANELS.items() if function.__name__ in names), None)
        epilog = "\b\n" + "\n".join(
            [f"Example{'s' if len(examples) > 1 else ''}:", *(f"  {line}" for line in examples)]
        )
        paragraphs = [" ".join(paragraph.split()) for paragraph in (function.__doc__ or "").split("\n\n")]
        help_text = "\n\n".join(paragraphs)  # typer keeps the line breaks of all but the first paragraph
        panel = panel if group is app else None
        group.command(cls=Command, rich_help_panel=panel, help=help_text, epilog=epilog)(function)
        return function

    return register


def allow_method(name: str | None) -> None:
    """Import the custom method, if one is given. A model folder alone never imports code."""
    if name is not None:
        from wtal.core.methods import load_method

        load_method(name)


def print_line(line: str) -> None:
    """Print a line without markup or wrapping, so that paths in it can be copied."""
    text.print_line(console, line)
