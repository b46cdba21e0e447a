"""The whole road on made-up movies, in about a minute: render, extract, train, localize, evaluate, report."""

from pathlib import Path

from rich.console import Console

from wtal.core.config import parse_config
from wtal.core.text import print_line
from wtal.data.create import create_dataset
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.synthetic.videos import MovieConfig, write_movies
from wtal.data.video_files import read_listing
from wtal.experiments.compare import compare
from wtal.inference.localizer import score_videos
from wtal.inference.proposals import generate_proposals, top_non_overlapping
from wtal.models import checkpoint
from wtal.reporting.figures.layout import TimelineData
from wtal.reporting.figures.timeline import draw_timelines
from wtal.reporting.html.collect import collect_report_data
from wtal.reporting.html.render import write_report
from wtal.reporting.tables import render_comparison
from wtal.reporting.terminal import counting, extracting, jobs
from wtal.video.backbones.registry import BackboneOptions
from wtal.video.extract_dataset import extract_dataset

METHODS = ("baseline", "dfe")
SEEDS, STEPS, VIDEOS = 2, 300, 4


def run_demo(
    out: Path, console: Console, settings: MovieConfig | None = None, seeds: int = SEEDS, steps: int = STEPS
) -> bool:
    """Run it all under `out`; True where DFE's local branch scores above the baseline on the testing subset.

    What an earlier call has finished is used again.
    """
    print_line(console, "Movies made from a seed: they show that the road is open, not how good a method is.")
    folder = make_data(out / "movies", settings or MovieConfig(), console)
    runs, picture, page = out / "runs", out / "timelines.png", out / "report.html"
    print_line(console, f"training {' and '.join(METHODS)}, each from {seeds} seeds, on tags alone")
    config = parse_config({"train": {"steps": steps}})
    with jobs(console) as done:
        scores, differences = compare([folder.path], METHODS, seeds, "testing", config, runs, done=done)
    render_comparison(scores, differences, "testing", console)
    run = runs / folder.path.name / "dfe" / "seed-0"
    draw_timelines(picture, panels(run, folder), folder.classes)
    print_line(console, f"timelines of {VIDEOS} testing movies: {picture}")
    shown = read_listing(folder.path).files[folder.subset("testing")[0].id]
    print_line(console, f"next: wtal predict {out / 'movies' / 'videos' / shown} --model {run}")
    baseline, dfe = (score.mean for score in scores)
    verdict = "ahead of" if dfe > baseline else "NOT ahead of"
    print_line(console, f"DFE ({dfe:.1f}) is {verdict} the baseline ({baseline:.1f}) on these made-up movies")
    write_report(page, collect_report_data(runs, page, folder.path, out / "movies" / "videos", subset="testing"))
    print_line(console, f"report, to open in a browser: {page}")
    return dfe > baseline


def make_data(movies: Path, settings: MovieConfig, console: Console) -> Dataset:
    """Movies and their table of tags in the folder `movies`, and the data set made of them in `movies`/data.

    It lies with the movies so that it goes when they are replaced.
    """
    with counting("movies", console) as done:
        write_movies(movies, settings, done=done)
    data, videos, tags = movies / "data", movies / "videos", movies / "tags.csv"
    print_line(console, f"wtal init {data} --videos {videos} --tags {tags}")
    made = create_dataset(data, videos, [tags])
    print_line(console, f"wtal extract {data}")
    with extracting(console) as heard:
        extract_dataset(data, BackboneOptions("tiny"), heard=heard)
    print_line(console, f"{len(made.videos)} movies of {', '.join(made.classes)}; those for training carry tags alone")
    return load_dataset(data)


def panels(run: Path, folder: Dataset, subset: str = "testing", count: int = VIDEOS) -> list[TimelineData]:
    """What there is to see of the sequences that carry most classes: truth, proposals, attention, CAS."""
    network, meta = checkpoint.load_local(run)
    videos = sorted(folder.subset(subset), key=lambda video: -len(video.labels))[:count]
    seen = []
    for video, scores in score_videos(network, folder, videos, meta.config):
        clock = folder.clock_of(video.id)
        proposals = generate_proposals(scores, meta.classes, clock, meta.config.localize)
        times = clock.seconds(range(len(scores.attention) + 1))
        seen.append(
            TimelineData(
                title=video.id,
                duration=video.duration or float(times[-1]),
                truth=video.segments,
                result=top_non_overlapping(proposals),
                proposals=proposals,
                times=times,
                attention=scores.attention,
                cas=scores.cas[:, :-1],
            )
        )
    return seen
