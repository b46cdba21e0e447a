"""The benchmarks of the field."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import app, console, say
from wtal.cli.train import METHODS, ConfigFile, Set

PANEL = "Benchmarks"
NAMES = "thumos14, multithumos, activitynet1.2, activitynet1.3, hapt"


@app.command(rich_help_panel=PANEL)
def benchmark(
    name: Annotated[str, typer.Argument(metavar="NAME", help=NAMES)],
    features: Annotated[
        Path,
        typer.Option(
            "--features",
            "--raw",
            metavar="PLACE",
            help="Features in a public layout: W-TALC, BaS-Net / CoLA, OpenTAD / ActionFormer or plain; "
            "for hapt UCI's archive, as it was fetched",
        ),
    ],
    annotations: Annotated[
        Path | None,
        typer.Option(metavar="PLACE", help="Other annotations for these features", show_default="the layout's own"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder for the runs and the report", show_default="runs/NAME"),
    ] = None,
    methods: Annotated[
        str, typer.Option(metavar="NAMES", help=f"Names with commas between, or all: {METHODS}")
    ] = "baseline,local,dfe",
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="How many seeds, from 0")] = 5,
    config: ConfigFile = None,
    set: Set = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs side by side", show_default="one a core, or one on a GPU")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(metavar="FRAMES", help="OpenTAD / ActionFormer: from one snippet to the next")
    ] = None,
    window: Annotated[int | None, typer.Option(metavar="FRAMES", help="Frames that one snippet saw")] = None,
    fps: Annotated[float | None, typer.Option(metavar="RATE", help="Frames a second")] = None,
    look: Annotated[bool, typer.Option("--look", help="Only convert, and look at what is there")] = False,
) -> None:
    """Features in, report out: check, convert, train every method and seed, score under every protocol.

    Stopped or failed, it goes on when run again.
    """
    from wtal.core.config import read_config
    from wtal.core.hardware import available_cores, choose_device
    from wtal.core.io import directory_lock, write_json, write_text
    from wtal.data.layouts.opentad import FeatureTiming
    from wtal.experiments.benchmarks.definitions import find_benchmark
    from wtal.experiments.benchmarks.inspect import survey
    from wtal.experiments.benchmarks.prepare import prepare
    from wtal.experiments.benchmarks.run import run_benchmark
    from wtal.experiments.compare import methods_named
    from wtal.reporting.benchmark_report import benchmark_markdown, render_outcome, render_survey
    from wtal.reporting.terminal import counting, jobs

    chosen, place = find_benchmark(name), out or Path("runs") / name
    settings, names = read_config(config or chosen.config, tuple(set or ())), methods_named(methods)
    grid = None if (stride, window, fps) == (None, None, None) else FeatureTiming(stride, window, fps)
    machine = choose_device(device).type
    with directory_lock(place):
        with counting("converting", console) as progress:
            prepared = prepare(chosen, features, place, annotations, grid, progress)
        seen = survey(chosen, prepared)
        render_survey(seen, console)
        if look:
            return
        beside = workers or (available_cores() if machine == "cpu" else 1)
        with jobs(console) as done:
            outcome = run_benchmark(chosen, prepared, seen, names, seeds, settings, place, beside, machine, done)
        render_outcome(outcome, console)
        write_json(place / "benchmark.json", outcome.to_json())
        write_text(place / "report.md", benchmark_markdown(outcome, shlex.join(["wtal", *sys.argv[1:]])))
    say(f"report: {place / 'report.md'}")
