"""The whole road on made-up movies, in about a minute: render, extract, train, localize, evaluate, report."""

from pathlib import Path

from rich.console import Console

from wtal import checkpoint
from wtal.compare import compare
from wtal.config import parse_config
from wtal.extract.backbones import Choice
from wtal.extract.folder import extract_folder
from wtal.formats.plain import Folder, read_folder
from wtal.formats.videos import read_listing
from wtal.init import init_folder
from wtal.localize import localize, surest
from wtal.predict import score_videos
from wtal.report.compare_table import render
from wtal.report.gather import gather
from wtal.report.html import write_report
from wtal.report.picture import Panel, draw_timelines
from wtal.report.progress import counting, extracting, jobs
from wtal.report.say import say
from wtal.synthetic.movies import MovieConfig, write_movies

METHODS = ("baseline", "dfe")
SEEDS, STEPS, VIDEOS = 2, 300, 4


def run_demo(
    out: Path, console: Console, settings: MovieConfig | None = None, seeds: int = SEEDS, steps: int = STEPS
) -> bool:
    """Run it all under `out`; True where DFE's local branch scores above the baseline on the testing subset.

    What an earlier call has finished is used again.
    """
    say(console, "Movies made from a seed: they show that the road is open, not how good a method is.")
    folder = make_data(out / "movies", settings or MovieConfig(), console)
    runs, picture, page = out / "runs", out / "timelines.png", out / "report.html"
    say(console, f"training {' and '.join(METHODS)}, each from {seeds} seeds, on tags alone")
    config = parse_config({"train": {"steps": steps}})
    with jobs(console) as done:
        scores, differences = compare([folder.path], METHODS, seeds, "testing", config, runs, done=done)
    render(scores, differences, "testing", console)
    run = runs / folder.path.name / "dfe" / "seed-0"
    draw_timelines(picture, panels(run, folder), folder.classes)
    say(console, f"timelines of {VIDEOS} testing movies: {picture}")
    shown = read_listing(folder.path).files[folder.subset("testing")[0].id]
    say(console, f"next: wtal predict {out / 'movies' / 'videos' / shown} --model {run}")
    baseline, dfe = (score.mean for score in scores)
    verdict = "ahead of" if dfe > baseline else "NOT ahead of"
    say(console, f"DFE ({dfe:.1f}) is {verdict} the baseline ({baseline:.1f}) on these made-up movies")
    write_report(page, gather(runs, page, folder.path, out / "movies" / "videos", subset="testing"))
    say(console, f"report, to open in a browser: {page}")
    return dfe > baseline


def make_data(movies: Path, settings: MovieConfig, console: Console) -> Folder:
    """Movies and their table of tags in the folder `movies`, and the data set made of them in `movies`/data.

    It lies with the movies so that it goes when they are replaced.
    """
    with counting("movies", console) as done:
        write_movies(movies, settings, done=done)
    data, videos, tags = movies / "data", movies / "videos", movies / "tags.csv"
    say(console, f"wtal init {data} --videos {videos} --tags {tags}")
    made = init_folder(data, videos, [tags])
    say(console, f"wtal extract {data}")
    with extracting(console) as heard:
        extract_folder(data, Choice("tiny"), heard=heard)
    say(console, f"{len(made.videos)} movies of {', '.join(made.classes)}; those for training carry tags alone")
    return read_folder(data)


def panels(run: Path, folder: Folder, subset: str = "testing", count: int = VIDEOS) -> list[Panel]:
    """What there is to see of the sequences that carry most classes: truth, proposals, attention, CAS."""
    network, meta = checkpoint.load_local(run)
    videos = sorted(folder.subset(subset), key=lambda video: -len(video.labels))[:count]
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
