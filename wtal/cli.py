"""The `wtal` command. A user's error is one sentence and exit code 2; never a traceback."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from wtal import __version__
from wtal.errors import WtalError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From videos that carry only tags, learn to draw the timeline: what, from when to when, how sure.",
)
console = Console(highlight=False)

Data = Annotated[
    Path, typer.Argument(help="Data set folder: annotations.json or tags.csv, dataset.json, features/")
]
Run = Annotated[Path, typer.Argument(help="Run folder that `wtal train` wrote")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file with what differs from the defaults")]
Set = Annotated[list[str] | None, typer.Option("--set", help="One setting, section.name=value; repeatable")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]


def main() -> None:
    """Run the command line; the exit code is 2 for what the user can mend, 130 for an interrupt."""
    errors = Console(stderr=True, highlight=False)
    try:
        app()
    except WtalError as error:
        errors.print(f"[bold]error:[/] {_escape(error)}", soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("interrupted; what was saved stays, go on with --resume", soft_wrap=True)
        sys.exit(130)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Say which version this is")] = False,
) -> None:
    if version:
        console.print(f"wtal {__version__}")
        raise typer.Exit


@app.command()
def check(data: Data) -> None:
    """Say what is in a data set folder, and everything that is wrong with it."""
    from wtal.check import inspect
    from wtal.report.folder_table import render

    report = inspect(data)
    render(report, console)
    if any(problem.fatal for problem in report.problems):
        raise typer.Exit(2)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A W-TALC bundle or a BaS-Net / CoLA folder")],
    out: Annotated[Path, typer.Argument(help="The plain data set folder to write")],
) -> None:
    """Convert a public layout to a plain data set folder, once; stopped, it goes on when run again."""
    from wtal.formats.convert import convert as convert_layout
    from wtal.report.progress import counting

    with counting("converting", console) as progress:
        made = convert_layout(source, out, progress)
    console.print(f"{made.layout}: {len(made.videos)} sequences written to {made.out}")
    for remark in made.remarks:
        console.print(f"note: {_escape(remark)}")


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Run folder to write")],
    config: ConfigFile = None,
    set: Set = None,
    method: Annotated[str | None, typer.Option(help="dfe, baseline, local or another control")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed, other weights")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run was stopped")] = False,
    device: Device = "auto",
    validate: Annotated[
        bool, typer.Option("--validate", help="Score each checkpoint on the validation subset")
    ] = False,
    hold_out: Annotated[
        float,
        typer.Option(min=0, max=0.9, help="Share of training sequences kept back, scored by their labels"),
    ] = 0.0,
) -> None:
    """Train on sequences with video-level labels."""
    from wtal.experiment import train_run
    from wtal.report.progress import training

    settings = _config(config, set, method, seed)
    with training(settings.train.steps, console) as progress:
        last = train_run(
            data,
            out,
            settings,
            resume=resume,
            device=device,
            validate=validate,
            hold_out=hold_out,
            progress=progress,
        )
    console.print(f"{settings.method}: {settings.train.steps} steps, last checkpoint {last}")


@app.command()
def localize(
    run: Run,
    data: Data,
    subset: Annotated[str, typer.Option(help="Which sequences")] = "testing",
    branch: Annotated[str, typer.Option(help="local, or global to measure what inference leaves out")] = "local",
    out: Annotated[Path | None, typer.Option(help="Where to write [default: RUN/proposals.json]")] = None,
) -> None:
    """Write proposals.json: label, start, end and score in seconds, in ActivityNet's result format."""
    from wtal.experiment import localize_run

    place = out or run / "proposals.json"
    proposals = localize_run(run, data, subset, place, branch)
    count = sum(map(len, proposals.values()))
    console.print(f"{count:,} proposals in {len(proposals):,} sequences of {subset}: {place}")


@app.command()
def evaluate(
    proposals: Annotated[Path, typer.Argument(help="Anybody's proposals in ActivityNet's result format")],
    truth: Annotated[Path, typer.Argument(help="ActivityNet JSON, data set folder, THUMOS texts or W-TALC arrays")],
    protocol: Annotated[
        str, typer.Option(help="activitynet, thumos14-210, thumos14-212, thumos14-snippet or wtalc")
    ] = "activitynet",
    tiou: Annotated[
        list[float] | None, typer.Option(help="tIoU threshold instead of the protocol's; repeatable")
    ] = None,
    subset: Annotated[str | None, typer.Option(help="Which subset of the ground truth")] = None,
    ambiguous: Annotated[
        Path | None, typer.Option(help="Ambiguous_test.txt [default: the one beside the ground truth]")
    ] = None,
    classes: Annotated[bool, typer.Option("--classes", help="A row for each class")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Where to write [default: results.json beside PROPOSALS]")
    ] = None,
) -> None:
    """Score a proposals file under a named protocol; say what was counted and left out."""
    from wtal.experiment import evaluate_file
    from wtal.report.tables import counted, map_table

    place = out or proposals.with_name("results.json")
    result = evaluate_file(proposals, truth, protocol, out=place, tious=tiou, subset=subset, ambiguous=ambiguous)
    console.print(map_table(result, classes=classes))
    for line in counted(result):
        console.print(_escape(line))
    console.print(f"written to {place}")


@app.command()
def compare(
    data: Annotated[list[Path], typer.Argument(help="One or more data set folders")],
    out: Annotated[Path, typer.Option(help="Folder for the runs and comparison.json")],
    methods: Annotated[str, typer.Option(help="Names with commas between, or all")] = "baseline,local,dfe",
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 0")] = 5,
    subset: Annotated[str, typer.Option(help="Which sequences to score; choose on validation")] = "validation",
    config: ConfigFile = None,
    set: Set = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Runs side by side [default: one a core]")] = None,
) -> None:
    """Train and score methods against each other; finished runs are used again, interrupted ones go on."""
    from wtal.compare import compare as compare_methods
    from wtal.config import METHODS, read_config
    from wtal.report.compare_table import render
    from wtal.report.progress import jobs

    names = list(METHODS) if methods == "all" else [name.strip() for name in methods.split(",")]
    settings = read_config(config, tuple(set or ()))
    with jobs(console) as done:
        scores, differences = compare_methods(data, names, seeds, subset, settings, out, workers, done)
    render(scores, differences, subset, console)
    console.print(f"written to {out / 'comparison.json'}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the data, the runs and the picture")] = Path("demo"),
) -> None:
    """The whole road on synthetic data: make, train, localize, evaluate, draw. Exit code 1 if DFE does not win."""
    from wtal.demo import run_demo

    if not run_demo(out, console):
        raise typer.Exit(1)


def _config(config: Path | None, set: list[str] | None, method: str | None, seed: int | None) -> Any:
    from wtal.config import read_config

    overrides = list(set or ())
    if method is not None:
        overrides.append(f"method={method}")
    if seed is not None:
        overrides.append(f"train.seed={seed}")
    return read_config(config, tuple(overrides))


def _escape(message: object) -> str:
    from rich.markup import escape

    return escape(str(message))
