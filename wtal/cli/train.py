"""Commands that train a model and prepare it for use."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wtal.cli.app import (
    ConfigOption,
    DataArgument,
    DeviceOption,
    FormatOption,
    MethodOption,
    RunArgument,
    SetOption,
    allow_method,
    command,
    console,
    print_line,
)
from wtal.core.text import format_count

if TYPE_CHECKING:
    from wtal.core.config import Config


@command("wtal demo", "wtal demo --out ~/demo")
def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the data, the runs and the report")] = Path(
        "demo"
    ),
) -> None:
    """Run all steps on synthetic videos: render, extract, train, localize, evaluate, report.

    The exit code is 1 if DFE does not score above the baseline.
    """
    from wtal.cli.demo import run_demo

    if not run_demo(out, console):
        raise typer.Exit(1)


@command(
    "wtal train mydata --out runs/mine",
    "wtal train mydata --out runs/mine --resume",
    "wtal train mydata --out runs/corrected --supervision all",
    "wtal train mydata --out runs/local --method local --set train.steps=1000",
    "wtal train mydata --out runs/mine --log tensorboard",
)
def train(
    data: DataArgument,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Run folder to write")],
    config: ConfigOption = None,
    overrides: SetOption = None,
    method: Annotated[
        str | None, typer.Option(metavar="NAME", help="{methods}", show_default="dfe, or the method in --config")
    ] = None,
    supervision: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Labels to use: tags alone, or also points, segments or all of them",
            show_default="tags, or as in --config",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Random seed", show_default="0")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run")] = False,
    device: DeviceOption = "auto",
    validate: Annotated[
        bool, typer.Option("--validate", help="Score each checkpoint on the segments of the validation subset")
    ] = False,
    hold_out: Annotated[
        float,
        typer.Option(
            min=0, max=0.9, metavar="SHARE", help="Share of the training videos to hold out and score by their tags"
        ),
    ] = 0.0,
    log: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="tensorboard or wandb (offline unless it is configured), beside metrics.jsonl",
            show_default="none",
        ),
    ] = None,
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="Compile the networks with torch.compile; changes the dropout masks"),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Models of stage one that are trained side by side", show_default="one per core"
        ),
    ] = None,
) -> None:
    """Train on videos with tags, and on points and segments if asked; write checkpoints to the run folder.

    At the end, a confidence threshold is chosen for each class; `wtal calibrate` chooses thresholds for other targets.

    The method dfe trains several models first, then a memory and the final model (docs/method.md).

    Under torchrun, all processes train one model.
    """
    from wtal.core import distributed
    from wtal.core.hardware import available_cores
    from wtal.data.dataset import load_dataset
    from wtal.data.snippet_labels import describe_labels
    from wtal.experiments.pipeline import train as train_model
    from wtal.models.checkpoint import read_meta
    from wtal.reporting.progress import training_progress
    from wtal.training.stages import total_steps
    from wtal.training.tag_scores import find_collapse

    with distributed.process_group(device):
        is_first = distributed.is_first()
        console.quiet = not is_first
        settings = _read_settings(config, overrides, method, supervision, seed)
        allow_method(settings.method)
        with training_progress(total_steps(settings), console) as progress:
            checkpoint = train_model(
                data,
                out,
                settings,
                resume=resume,
                device=device,
                validate=validate,
                hold_out=hold_out,
                compiled=compiled,
                workers=workers or available_cores(),
                log=log,
                on_progress=progress,
            )
        print_line(f"{settings.method}: {format_count(settings.train.steps, 'step')}, last checkpoint {checkpoint}")
        print_line(f"labels: {describe_labels(read_meta(checkpoint).label_counts)}")
    if not is_first:
        os._exit(0)  # PyTorch's threads can abort a process of torchrun while the interpreter shuts down
    collapse = find_collapse(out, load_dataset(data))  # in the first process alone
    if collapse is not None:
        print_line(f"warning: training has collapsed: {collapse}")
    _calibrate(out, data)
    print_line(f"next: {_next_command(out, data)}")


@command("wtal calibrate runs/mine mydata", "wtal calibrate runs/mine mydata --target precision=0.9 --min-duration 1")
def calibrate(
    run: RunArgument,
    data: DataArgument,
    subset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Subset to calibrate on",
            show_default="validation, else the held-out videos, else training",
        ),
    ] = None,
    target: Annotated[
        str, typer.Option(metavar="TARGET", help="Target of the printed table: f1 or precision=0.9")
    ] = "f1",
    per_minute: Annotated[
        int | None,
        typer.Option(metavar="N", help="Show at most N segments that start in a minute", show_default="no limit"),
    ] = None,
    min_duration: Annotated[float, typer.Option(metavar="SECONDS", help="Hide shorter segments")] = 0.0,
    max_duration: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Hide longer segments", show_default="no limit")
    ] = None,
    method: MethodOption = None,
    format: FormatOption = "terminal",
) -> None:
    """Choose the confidence threshold of each class for `wtal predict`, from segments or from tags alone."""
    from wtal.inference.calibration import CALIBRATION_NAME, calibrate_run
    from wtal.inference.operating_point import parse_target
    from wtal.inference.postprocessing import SegmentConstraints
    from wtal.reporting.evaluation_tables import calibration_table
    from wtal.reporting.tables import open_output

    allow_method(method)
    parse_target(target)  # raises before the work starts
    with open_output(console, format) as output:
        calibration = calibrate_run(run, data, subset, SegmentConstraints(per_minute, min_duration, max_duration))
        output.print([calibration_table(calibration, target), calibration.operating_point(target).describe()])
        if calibration.subset == "training":
            note = "the model was trained on these videos and scores them higher than new ones"
            output.print([f"note: {note}; keep a validation subset"])
        output.print([f"written to {run / CALIBRATION_NAME}"])


@command("wtal suggest runs/mine mydata", "wtal suggest runs/mine mydata --count 50")
def suggest(
    run: RunArgument,
    data: DataArgument,
    count: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="Number of videos")] = 12,
    format: FormatOption = "terminal",
) -> None:
    """List the training videos whose labels would help most, and the moments to look at in them.

    The run must be one of the method dfe: the videos are ranked by the disagreement of its models of stage one.
    """
    from wtal.data.dataset import load_dataset
    from wtal.experiments.suggestions import suggest as suggest_videos
    from wtal.reporting.suggestion_tables import suggestion_table
    from wtal.reporting.tables import open_output

    with open_output(console, format) as output:
        table = suggestion_table(suggest_videos(run, load_dataset(data), count))
        next_step = "mark points or segments there, add them with `wtal label`, and train with --supervision all"
        output.print([table, f"next: {next_step}"])


@command("wtal export runs/mine --onnx model.onnx")
def export(
    run: RunArgument,
    onnx: Annotated[Path, typer.Option(metavar="FILE", help="The .onnx file to write")],
    method: MethodOption = None,
) -> None:
    """Export a model and its settings as one ONNX file that runs without PyTorch."""
    from wtal.inference.onnx import export_onnx

    allow_method(method)
    meta = export_onnx(run, onnx)
    size = onnx.stat().st_size / 1e6
    classes = format_count(len(meta.classes), "class", "classes")
    print_line(f"{classes}, {sum(meta.modalities)} features per snippet, {size:.2f} MB: {onnx}")


def _read_settings(
    config: Path | None, overrides: list[str] | None, method: str | None, supervision: str | None, seed: int | None
) -> "Config":
    from wtal.core.config import read_config

    values = list(overrides or ())
    if method is not None:
        values.append(f"method={method}")
    if supervision is not None:
        values.append(f"train.supervision={supervision}")
    if seed is not None:
        values.append(f"train.seed={seed}")
    return read_config(config, tuple(values))


def _calibrate(run: Path, data: Path) -> None:
    """Choose the thresholds of `wtal predict`; a model that cannot be calibrated is still a model."""
    from wtal.core.errors import WtalError
    from wtal.inference.calibration import calibrate_trained
    from wtal.inference.operating_point import F1

    try:
        calibration = calibrate_trained(run, data)
    except WtalError as error:
        print_line(f"note: the model is not calibrated: {error}")
    else:
        if calibration is not None:
            print_line(calibration.operating_point(F1).describe())


def _next_command(run: Path, data: Path) -> str:
    from wtal.data.dataset import load_dataset
    from wtal.data.video_files import LISTING_NAME

    if (data / LISTING_NAME).is_file():
        return shlex.join(["wtal", "predict", "VIDEO", "--model", str(run)])
    subsets = load_dataset(data).subsets
    options = [] if "testing" in subsets else ["--subset", subsets[-1]]
    return shlex.join(["wtal", "localize", str(run), str(data), *options])
