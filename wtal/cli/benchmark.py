"""The command that runs a public benchmark from features to report."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import (
    ConfigOption,
    DeviceOption,
    FormatOption,
    MethodsOption,
    SeedsOption,
    SetOption,
    command,
    console,
)


@command(
    "wtal benchmark hapt --raw hapt.zip --methods all",
    "wtal benchmark thumos14 --features Thumos14reduced",
    "wtal benchmark thumos14 --features Thumos14reduced --inspect",
)
def benchmark(
    name: Annotated[str, typer.Argument(metavar="NAME", help="{benchmarks}")],
    features: Annotated[
        Path,
        typer.Option(
            "--features",
            "--raw",
            metavar="PATH",
            help="Features in a public layout ({layouts}) or a data set folder",
        ),
    ],
    annotations: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Other annotations for these features", show_default="those of the layout"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder for the runs and the report", show_default="runs/NAME"),
    ] = None,
    methods: MethodsOption = "baseline,local,dfe",
    seeds: SeedsOption = 5,
    config: ConfigOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Number of parallel runs", show_default="one per core, or one on a GPU"),
    ] = None,
    stride: Annotated[
        int | None, typer.Option(metavar="FRAMES", help="OpenTAD / ActionFormer: frames from one snippet to the next")
    ] = None,
    window: Annotated[int | None, typer.Option(metavar="FRAMES", help="Frames covered by one snippet")] = None,
    fps: Annotated[float | None, typer.Option(metavar="RATE", help="Frames per second")] = None,
    inspect: Annotated[bool, typer.Option("--inspect", help="Convert and summarize the data, then stop")] = False,
    format: FormatOption = "terminal",
) -> None:
    """Run a benchmark: check and convert the features, train each method and seed, score under each protocol.

    An interrupted or failed benchmark continues when it is run again.
    """
    from wtal.core.config import read_config
    from wtal.core.hardware import available_cores, choose_device
    from wtal.core.io import directory_lock, write_json, write_text
    from wtal.data.layouts.base import FeatureTiming
    from wtal.experiments.benchmarks.definitions import find_benchmark
    from wtal.experiments.benchmarks.prepare import prepare
    from wtal.experiments.benchmarks.run import run_benchmark
    from wtal.experiments.benchmarks.survey import survey
    from wtal.experiments.compare import parse_methods
    from wtal.reporting.benchmark_report import benchmark_markdown, outcome_blocks, survey_blocks
    from wtal.reporting.progress import count_progress, runs_progress
    from wtal.reporting.tables import open_output

    definition, folder = find_benchmark(name), out or Path("runs") / name
    settings, names = read_config(config or definition.config_path, tuple(overrides or ())), parse_methods(methods)
    timing = None if (stride, window, fps) == (None, None, None) else FeatureTiming(stride, window, fps)
    machine = choose_device(device).type
    with directory_lock(folder), open_output(console, format) as output:
        with count_progress("converting", output.messages) as progress:
            prepared = prepare(definition, features, folder, annotations, timing, progress)
        survey_result = survey(definition, prepared)
        output.print(survey_blocks(survey_result))
        if inspect:
            return
        parallel_runs = workers or (available_cores() if machine == "cpu" else 1)
        with runs_progress(output.messages) as progress:
            outcome = run_benchmark(
                definition, prepared, survey_result, names, seeds, settings, folder, parallel_runs, machine, progress
            )
        output.print(outcome_blocks(outcome))
        write_json(folder / "benchmark.json", outcome.to_json())
        write_text(folder / "report.md", benchmark_markdown(outcome, shlex.join(["wtal", *sys.argv[1:]])))
        output.print([f"report: {folder / 'report.md'}"])
