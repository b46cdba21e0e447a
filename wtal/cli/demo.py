"""The demo: all steps on synthetic videos, in about a minute: render, extract, train, localize, evaluate, report."""

from pathlib import Path

from rich.console import Console

from wtal.core.config import parse_config
from wtal.core.text import format_count, print_line
from wtal.data.create import create_dataset
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.synthetic.videos import MovieConfig, write_movies
from wtal.data.video_files import read_listing
from wtal.experiments.compare import compare
from wtal.inference.localizer import Localizer
from wtal.inference.postprocessing import top_non_overlapping
from wtal.reporting.comparison_tables import comparison_blocks
from wtal.reporting.figures.layout import TimelineData
from wtal.reporting.figures.timeline import draw_timelines
from wtal.reporting.html.collect import collect_report_data
from wtal.reporting.html.render import write_report
from wtal.reporting.progress import count_progress, extraction_progress, runs_progress
from wtal.reporting.tables import open_output
from wtal.video.backbones.registry import BackboneOptions
from wtal.video.extract_dataset import extract_dataset

METHODS = ("baseline", "dfe")
SEEDS = 2
STEPS = 300
MODELS = 3  # of stage one, to keep it short
VIDEOS_SHOWN = 4


def run_demo(
    out: Path, console: Console, settings: MovieConfig | None = None, seeds: int = SEEDS, steps: int = STEPS
) -> bool:
    """Run all steps below the folder `out`. Results of an earlier call are reused.

    Returns:
        Whether the mean score of DFE's local branch on the testing subset is above that of the baseline.
    """
    print_line(console, "Synthetic videos: they show that every step works, not how good a method is.")
    dataset = make_dataset(out / "movies", settings or MovieConfig(), console)
    runs, figure_path, report_path = out / "runs", out / "timelines.png", out / "report.html"
    print_line(console, f"training {' and '.join(METHODS)} with {format_count(seeds, 'seed')} each, on tags only")
    config = parse_config({"train": {"steps": steps}, "teacher": {"models": MODELS}})
    with runs_progress(console) as progress:
        comparison = compare(dataset.path, runs, METHODS, seeds, "testing", config, on_progress=progress)
    with open_output(console) as output:
        output.print(comparison_blocks(comparison))
    run = runs / dataset.path.name / "dfe" / "seed-0"
    draw_timelines(figure_path, collect_timelines(run, dataset), dataset.classes)
    print_line(console, f"timelines of {VIDEOS_SHOWN} testing videos: {figure_path}")
    video = read_listing(dataset.path).files[dataset.subset("testing")[0].id]
    print_line(console, f"next: wtal predict {out / 'movies' / 'videos' / video} --model {run}")
    baseline, dfe = (score.mean for score in comparison.scores)
    verdict = "above" if dfe > baseline else "NOT above"
    print_line(console, f"DFE ({dfe:.1f}) is {verdict} the baseline ({baseline:.1f}) on these synthetic videos")
    data = collect_report_data(runs, report_path, dataset.path, out / "movies" / "videos", subset="testing")
    write_report(report_path, data)
    print_line(console, f"report: {report_path}")
    return dfe > baseline


def make_dataset(folder: Path, settings: MovieConfig, console: Console) -> Dataset:
    """Render videos and their table of tags into a folder, and create the data set in its subfolder `data`.

    The data set is inside so that it is deleted when the videos are rendered again with other settings.
    """
    with count_progress("rendering", console) as progress:
        write_movies(folder, settings, on_progress=progress)
    data, videos, tags = folder / "data", folder / "videos", folder / "tags.csv"
    print_line(console, f"wtal init {data} --videos {videos} --tags {tags}")
    created = create_dataset(data, videos, [tags])
    print_line(console, f"wtal extract {data} --backbone tiny")
    with extraction_progress(console) as progress:
        extract_dataset(data, BackboneOptions("tiny"), on_progress=progress)
    print_line(
        console,
        f"{len(created.videos)} videos of {', '.join(created.classes)}; the training videos have tags only",
    )
    return load_dataset(data)


def collect_timelines(
    run: Path, dataset: Dataset, subset: str = "testing", count: int = VIDEOS_SHOWN
) -> list[TimelineData]:
    """The data to draw for the videos with the most classes: ground truth, result, proposals, attention, CAS."""
    videos = sorted(dataset.subset(subset), key=lambda video: -len(video.labels))[:count]
    timelines = []
    for video, result in Localizer(run).localize_videos(dataset, videos):
        timelines.append(
            TimelineData(
                title=video.id,
                duration=video.duration or float(result.times[-1]),
                ground_truth=video.segments,
                predictions=top_non_overlapping(result.segments),
                proposals=result.segments,
                times=result.times,
                attention=result.scores.attention,
                cas=result.scores.cas[:, :-1],
            )
        )
    return timelines
