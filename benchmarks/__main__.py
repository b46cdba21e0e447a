"""The command line of the developer tools: `python -m benchmarks NAME [ARGUMENTS]`."""

import ast
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.main import get_command

from benchmarks.measure import ROOT
from benchmarks.results import MEASUREMENTS, measure_sections
from wtal.cli.app import Command, ErrorHandlingGroup

ALL = "all"
TOOLS = (  # modules with a function `main`
    "study",
    "probe",
    "boundaries",
    "ablate",
    "rehearse",
    "labels",
    "models",
    "backbones",
    "calibration",
    "smoothing",
    "normalisation",
    "kinetics400",
    "hour",
    "fuzz",
    "names",
)
SETTINGS: Any = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


class ToolGroup(ErrorHandlingGroup):
    """Imports the module of a tool when the tool runs, so that help is fast and needs no optional package."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, _load(str(name)), rest


app = typer.Typer(
    cls=ToolGroup,
    no_args_is_help=True,
    subcommand_metavar="NAME [ARGUMENTS]",
    help="Measurements of speed and memory, and tools for studies. `python -m benchmarks NAME --help` describes one.",
    **SETTINGS,
)


def _load(name: str) -> Any:
    """The command of a tool, with its options."""
    function = import_module(f"benchmarks.{name}").main if name in TOOLS else _measurement(name)
    single = typer.Typer(**SETTINGS)
    single.command(name, cls=Command, help=_description(name))(function)
    return get_command(single)


def _measurement(name: str) -> Callable[..., None]:
    def measure(
        others: Annotated[
            list[str] | None, typer.Argument(metavar="NAME", help="More measurements", show_default=False)
        ] = None,
        write: Annotated[
            bool,
            typer.Option("--write", help="Also replace the sections of these measurements in benchmarks/RESULTS.md"),
        ] = False,
    ) -> None:
        measure_sections(None if name == ALL else [name, *(others or ())], write)

    return measure


def _description(name: str) -> str:
    """The docstring of a module, which is not imported."""
    if name == ALL:
        return "Run all measurements, which takes hours. Those that this machine cannot do are skipped."
    text = ast.get_docstring(ast.parse((ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8"))) or ""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _register(name: str, panel: str) -> None:
    summary = _description(name).partition("\n\n")[0]
    app.command(name, help=summary, rich_help_panel=panel)(lambda: None)  # for the list; see ToolGroup


for _name in (*MEASUREMENTS, ALL):
    _register(_name, "Measurements")
for _name in TOOLS:
    _register(_name, "Tools")


if __name__ == "__main__":
    app(prog_name="python -m benchmarks")
