"""Videos, their data set, and a run trained on them: all that the commands and the web page read."""

from pathlib import Path

from typer.testing import CliRunner

from tests.helpers.video import film
from wtal.cli import app


def make_own_videos(root: Path) -> Path:
    """Write videos/, tags.csv, data/ and run/ by the command line, and return the folder."""
    (root / "videos").mkdir()
    for i in range(4):
        film(root / "videos" / f"film {i}.mp4", i)
    rows = ["film 0.mp4,left,training", "film 1.mp4,left;right,training", "film 2.mp4,right,training"]
    rows += ["film 3.mp4,left[3 to 6];right[0 to 3],testing"]
    (root / "tags.csv").write_text("video,labels,subset\n" + "\n".join(rows) + "\n")
    settings = ("--set", "train.steps=4", "--set", "model.width=16", "--set", "train.save_every=4")
    settings += ("--set", "teacher.models=1", "--workers", "1")
    for arguments in (
        ("init", root / "data", "--videos", root / "videos", "--tags", root / "tags.csv"),
        ("extract", root / "data", "--backbone", "tiny"),
        ("train", root / "data", "--out", root / "run", *settings),
    ):
        run_command(*arguments)
    return root


def run_command(*arguments: object) -> None:
    """Run a command that succeeds."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
