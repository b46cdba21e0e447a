"""Commands that train, localize and score."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from wtal.cli.app import Data, Run, app, console, say

PANEL = "Learning and scoring"

METHODS = "baseline, local, dfe, dfe-global, dfe-no-distillation, self-distillation, shuffled-memory, random-memory"
PROTOCOLS = "activitynet, thumos14-210, thumos14-212, thumos14-snippet, wtalc, multithumos"

ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="TOML file with what differs from the defaults")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="One setting, as train.steps=1000; repeatable"),
]


@app.command(rich_help_panel=PANEL)
def train(
    data: Data,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Run folder to write")],
    config: ConfigFile = None,
    set: Set = None,
    method: Annotated[
        str | None, typer.Option(metavar="NAME", help=METHODS, show_default="dfe, or as --config says")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed, other weights", show_default="0")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run was stopped")] = False,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda")] = "auto",
    validate: Annotated[
        bool, typer.Option("--validate", help="Score each checkpoint on the validation subset")
    ] = False,
    hold_out: Annotated[
        float,
        typer.Option(
            min=0, max=0.9, metavar="SHARE", help="Share of training sequences kept back, scored by their labels"
        ),
    ] = 0.0,
    compile: Annotated[
        bool,
        typer.Option("--compile", help="Compile the local branch by torch.compile; its dropout draws other numbers"),
    ] = False,
) -> None:
    """Train on sequences with video-level labels; the run folder gets checkpoints and metrics.jsonl.

    Started by torchrun, all processes train one model.
    """
    from wtal.core import distributed
    from wtal.experiments.pipeline import train_run
    from wtal.reporting.terminal import training

    with distributed.group(device):
        console.quiet = not distributed.is_first()
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
                compiled=compile,
                progress=progress,
            )
        say(f"{settings.method}: {settings.train.steps} steps, last checkpoint {last}")
        say(f"next: {_next_command(out, data)}")


@app.command(rich_help_panel=PANEL)
def localize(
    run: Run,
    data: Data,
    subset: Annotated[str, typer.Option(metavar="NAME", help="Which sequences")] = "testing",
    branch: Annotated[
        str, typer.Option(metavar="NAME", help="local, or global to measure what inference leaves out")
    ] = "local",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write", show_default="RUN/proposals.json"),
    ] = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help="local, or ray for many machines")] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Workers of ray", show_default="one a machine")
    ] = None,
) -> None:
    """Write proposals: label, start, end and score in seconds, in ActivityNet's result format."""
    from wtal.data.layouts.activitynet import require_proposals_path
    from wtal.experiments.pipeline import localize_run

    if out is not None:
        require_proposals_path(out)
    place = out or run / "proposals.json"
    proposals = localize_run(run, data, subset, place, branch, engine=engine, workers=workers)
    count = sum(map(len, proposals.values()))
    say(f"{count:,} proposals in {len(proposals):,} sequences of {subset}: {place}")


@app.command(rich_help_panel=PANEL)
def evaluate(
    proposals: Annotated[
        list[Path],
        typer.Argument(
            metavar="PROPOSALS",
            help="Anybody's proposals in ActivityNet's result format; the first file is compared with each other",
        ),
    ],
    truth: Annotated[
        Path,
        typer.Argument(metavar="TRUTH", help="ActivityNet JSON, data set folder, THUMOS texts or W-TALC arrays"),
    ],
    protocol: Annotated[str, typer.Option(metavar="NAME", help=f"{PROTOCOLS}; or all that fit TRUTH")] = "activitynet",
    tiou: Annotated[
        list[float] | None,
        typer.Option(help="tIoU threshold; repeatable", show_default="the protocol's"),
    ] = None,
    subset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which subset of TRUTH", show_default="the protocol's"),
    ] = None,
    ambiguous: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Intervals in which some protocols score nothing",
            show_default="Ambiguous_test.txt beside TRUTH",
        ),
    ] = None,
    classes: Annotated[bool, typer.Option("--classes", help="A row for each class, of one file")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to write",
            show_default="results.json beside PROPOSALS; for several files, or all protocols, evaluations.json "
            "beside the first",
        ),
    ] = None,
) -> None:
    """Score proposals under a named protocol; say what was counted and left out. Several files: side by side."""
    from wtal.core.errors import ConfigError
    from wtal.experiments.pipeline import evaluate_file, evaluate_files

    options: Any = {"tious": tiou, "subset": subset, "ambiguous": ambiguous}
    if len(proposals) == 1 and protocol != "all":
        from wtal.evaluation.results import summary_lines
        from wtal.reporting.tables import map_table

        place = out or proposals[0].parent / "results.json"
        result = evaluate_file(proposals[0], truth, protocol, out=place, **options)
        console.print(map_table(result, classes=classes))
        for line in summary_lines(result):
            say(line)
    else:
        from wtal.reporting.benchmark_report import render_evaluations

        if classes:
            raise ConfigError("--classes is for one file under one protocol; leave it out, or name one of each")
        place = out or proposals[0].parent / "evaluations.json"
        render_evaluations(evaluate_files(proposals, truth, protocol, out=place, **options), console)
    say(f"written to {place}")


@app.command(rich_help_panel=PANEL)
def compare(
    data: Annotated[list[Path], typer.Argument(metavar="DATA", help="One or more data set folders")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the runs and comparison.json")],
    methods: Annotated[
        str, typer.Option(metavar="NAMES", help=f"Names with commas between, or all: {METHODS}")
    ] = "baseline,local,dfe",
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="How many seeds, from 0")] = 5,
    subset: Annotated[
        str, typer.Option(metavar="NAME", help="Which sequences to score; choose on validation")
    ] = "validation",
    config: ConfigFile = None,
    set: Set = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Runs side by side", show_default="one a core")] = None,
) -> None:
    """Train and score methods against each other; finished runs are used again, interrupted ones go on."""
    from wtal.core.config import read_config
    from wtal.experiments.compare import compare as compare_methods
    from wtal.experiments.compare import methods_named
    from wtal.reporting.tables import render_comparison
    from wtal.reporting.terminal import jobs

    names, settings = methods_named(methods), read_config(config, tuple(set or ()))
    with jobs(console) as done:
        scores, differences = compare_methods(data, names, seeds, subset, settings, out, workers, done)
    render_comparison(scores, differences, subset, console)
    say(f"written to {out / 'comparison.json'}")


@app.command(rich_help_panel=PANEL)
def ablate(
    data: Annotated[list[Path], typer.Argument(metavar="DATA", help="One or more data set folders")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the runs and ablation.json")],
    arm: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="One arm, as 'slots: 4'; repeatable", show_default="all"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="How many seeds, from 0")] = 5,
    subset: Annotated[str, typer.Option(metavar="NAME", help="Which sequences to score")] = "validation",
    config: ConfigFile = None,
    set: Set = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Runs side by side", show_default="one a core")] = None,
) -> None:
    """Change each default of DFE by itself and say what it is worth; finished runs are used again."""
    from wtal.core.config import read_config
    from wtal.core.hardware import available_cores
    from wtal.experiments.compare import ablate as ablate_defaults
    from wtal.reporting.tables import render_comparison
    from wtal.reporting.terminal import jobs

    settings = read_config(config, tuple(set or ()))
    with jobs(console) as done:
        scores, differences = ablate_defaults(
            data, tuple(arm or ()), seeds, subset, settings, out, workers or available_cores(), done
        )
    render_comparison(scores, differences, subset, console)
    say(f"written to {out / 'ablation.json'}")


@app.command(rich_help_panel=PANEL)
def memory(run: Run) -> None:
    """Show what a run's memory holds: slots and writes of each class, and the classes nearest to it."""
    from wtal.models.checkpoint import load_both
    from wtal.reporting.tables import memory_table

    console.print(memory_table(*load_both(run)))


@app.command(rich_help_panel=PANEL)
def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the data, the runs and the picture")] = Path(
        "demo"
    ),
) -> None:
    """The whole road on made-up data: make, train, localize, evaluate, draw. Exit code 1 if DFE does not win."""
    from wtal.cli.demo import run_demo

    if not run_demo(out, console):
        raise typer.Exit(1)


def _config(config: Path | None, set: list[str] | None, method: str | None, seed: int | None) -> Any:
    from wtal.core.config import read_config

    overrides = list(set or ())
    if method is not None:
        overrides.append(f"method={method}")
    if seed is not None:
        overrides.append(f"train.seed={seed}")
    return read_config(config, tuple(overrides))


def _next_command(run: Path, data: Path) -> str:
    from wtal.data.dataset import load_dataset
    from wtal.data.video_files import LISTING_NAME

    if (data / LISTING_NAME).is_file():
        return shlex.join(["wtal", "predict", "VIDEO", "--model", str(run)])
    subsets = load_dataset(data).subsets
    which = [] if "testing" in subsets else ["--subset", subsets[-1]]
    return shlex.join(["wtal", "localize", str(run), str(data), *which])
