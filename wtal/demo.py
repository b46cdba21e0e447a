"""The whole road on synthetic data, in a minute: make, train, localize, evaluate, draw."""

from pathlib import Path

from rich.console import Console

from wtal import checkpoint
from wtal.compare import compare
from wtal.config import parse_config
from wtal.formats.plain import Folder, read_folder
from wtal.localize import localize, surest
from wtal.predict import score_videos
from wtal.report.compare_table import render
from wtal.report.picture import Panel, draw_timelines
from wtal.report.progress import jobs
from wtal.synthetic import write_synthetic

SEEDS, STEPS, VIDEOS = 2, 300, 4


def run_demo(out: Path, console: Console) -> bool:
    """Run it all under `out`; True where DFE's local branch scores above the baseline on the testing subset."""
    data, runs, picture = out / "synthetic", out / "runs", out / "timelines.png"
    console.print("Synthetic data, made from a seed: they show that the road is open, not how good a method is.")
    write_synthetic(data)
    config = parse_config({"train": {"steps": STEPS}})
    with jobs(console) as done:
        scores, differences = compare([data], ["baseline", "dfe"], SEEDS, "testing", config, runs, done=done)
    render(scores, differences, "testing", console)
    folder = read_folder(data)
    draw_timelines(picture, panels(runs / data.name / "dfe" / "seed-0", folder), folder.classes)
    console.print(f"timelines of {VIDEOS} testing sequences (synthetic): {picture}")
    baseline, dfe = (score.mean for score in scores)
    verdict = "ahead of" if dfe > baseline else "NOT ahead of"
    console.print(f"DFE ({dfe:.1f}) is {verdict} the baseline ({baseline:.1f}) on these synthetic data")
    return dfe > baseline


def panels(run: Path, folder: Folder, subset: str = "testing", count: int = VIDEOS) -> list[Panel]:
    """What there is to see of a run's first sequences: truth, proposals, attention, CAS."""
    network, meta = checkpoint.load_local(run)
    videos = [video for video in folder.subset(subset) if video.actions][:count]
    seen = []
    for video, scores in score_videos(network, folder, videos, meta.config):
        clock = folder.clock_of(video.id)
        proposals = localize(scores, meta.classes, clock, meta.config.localize)
        times = clock.seconds(range(len(scores.attention) + 1))
        seen.append(
            Panel(
                title=video.id,
                duration=video.duration or float(times[-1]),
                truth=video.actions,
                result=surest(proposals),
                proposals=proposals,
                times=times,
                attention=scores.attention,
                cas=scores.cas[:, :-1],
            )
        )
    return seen
