"""`wtal start`: from a folder of videos to a page with their timelines, in one command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wtal.cli.app import DeviceOption, command, console, print_line
from wtal.cli.video import BACKBONE_HELP, has_page, print_backbone, print_failures, print_problems, print_tables
from wtal.core.errors import DataError
from wtal.core.hardware import choose_device

if TYPE_CHECKING:
    from wtal.experiments.project import Project

HOST = "127.0.0.1"


@command(
    "wtal start ~/Videos --tags tags.csv",
    "wtal start ~/Videos",
    "wtal start ~/Videos --project ~/timelines --backbone i3d",
)
def start(
    videos: Annotated[Path, typer.Argument(metavar="VIDEOS", help="Folder of your videos")],
    tags: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Table with the columns video and labels; repeatable",
            show_default="tags are given on the page",
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--project", metavar="DIR", help="Project folder", show_default="wtal in VIDEOS")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=BACKBONE_HELP, show_default="i3d if its weights are there, else tiny"),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Setting of training, such as train.steps=1000; kept in the project; repeatable",
        ),
    ] = None,
    device: DeviceOption = "auto",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Port of the page; 0: a free one")] = 8321,
) -> None:
    """Make timelines of a folder of videos: extract, train, calibrate, predict, and open the page.

    Everything is kept in the project folder, and what is up to date is not done again. Interrupt it at any time, and
    run it again to continue or after adding videos and tags.
    """
    from wtal.experiments.project import Project

    # What cannot work is an error now, not after minutes of training.
    if device != "auto":
        choose_device(device)
    if has_page():
        from wtal.web.server import require_free_port

        require_free_port(HOST, port)
    project = Project.open(videos, folder)
    if not project.scan().videos:
        raise DataError("contains no video", path=videos, hint="copy your videos there", code="no-videos")
    _configure(project, backbone, overrides)
    print_line(f"project {project.folder}")
    if tags:
        table = project.add_tags(tags)
        print_tables(tags)
        print_problems(table.problems, table.remarks)
    summary = project.tag_summary()
    print_line(str(summary))
    if summary.can_train or not has_page():
        _run(project, device)
    else:
        print_line("no video is tagged with a class yet: tag your videos on the page, and train there")
    if has_page():
        _open_page(project, device, port)
    else:
        print_line("note: for the page, pip install 'wtal[web]'")


def _configure(project: "Project", backbone: str | None, overrides: list[str] | None) -> None:
    """Store the settings that are given, if they are valid."""
    from wtal.core.config import read_config
    from wtal.video.backbones.base import BackboneOptions
    from wtal.video.backbones.registry import open_backbone

    if overrides is not None:
        read_config(None, tuple(overrides))
    if backbone is not None:
        open_backbone(BackboneOptions(backbone))  # missing weights are an error now, not after tagging
    project.configure(backbone=backbone, overrides=overrides)


def _run(project: "Project", device: str) -> None:
    """Do the steps that are needed, and say what is there."""
    from wtal.data.dataset import FAILED_NAME, read_failed
    from wtal.experiments.project_run import run_steps
    from wtal.experiments.project_steps import find_steps
    from wtal.reporting.progress import steps_progress

    print_backbone(project.backbone, project.requested_backbone, "run `wtal start` again")
    with steps_progress(console) as progress:
        run_steps(project, progress, device=device)
    print_failures(list(read_failed(project.data).values()), f"{project.data / FAILED_NAME} lists all of them")
    for step in find_steps(project):
        print_line(f"{step.name}: {step.message}")


def _open_page(project: "Project", device: str, port: int) -> None:
    """Serve the page until it is interrupted."""
    from wtal.video.backbones.base import BackboneOptions
    from wtal.web.server import serve_project

    def announce(address: str) -> None:
        print_line(f"open {address}")
        print_line("press Ctrl-C to stop; everything is saved")

    serve_project(project, BackboneOptions("", device=device), HOST, port, announce)
