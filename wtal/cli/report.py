"""The command that writes the report.

FROM: The command that tells why proposals lose points.
FROM: The commands that draw plots for papers, `wtal plot WHAT`.
"""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import Run, app, console, say
from wtal.cli.train import PANEL, PROTOCOLS


@app.command(rich_help_panel=PANEL)
def analyse(
    proposals: Annotated[
        Path, typer.Argument(metavar="PROPOSALS", help="Anybody's proposals in ActivityNet's result format")
    ],
    truth: Annotated[
        Path,
        typer.Argument(metavar="TRUTH", help="ActivityNet JSON, data set folder, THUMOS texts or W-TALC arrays"),
    ],
    protocol: Annotated[str, typer.Option(metavar="NAME", help=PROTOCOLS)] = "activitynet",
    tiou: Annotated[float, typer.Option(help="tIoU from which on a prediction finds an action")] = 0.5,
    subset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which subset of TRUTH", show_default="the protocol's"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where to write analysis.json and analysis.png",
            show_default="that of PROPOSALS",
        ),
    ] = None,
) -> None:
    """Tell why proposals lose points: errors by kind, what mending each is worth, which actions are missed."""
    from wtal.core.io import write_json
    from wtal.data.ground_truth import find_ambiguous, read_timed_ground_truth
    from wtal.data.layouts.activitynet import read_proposals
    from wtal.evaluation.error_analysis import analyse as analyse_proposals
    from wtal.reporting.error_tables import render_analysis
    from wtal.reporting.figures.paper import draw_analysis

    folder = proposals.parent if out is None else out
    numbers, picture = folder / "analysis.json", folder / "analysis.png"
    _require_places(proposals, folder, (proposals, truth), (numbers, picture))
    found = analyse_proposals(
        read_proposals(proposals), read_timed_ground_truth(truth), protocol, tiou, subset, find_ambiguous(truth)
    )
    write_json(numbers, found.to_json())  # first, as a picture without it is taken for yours
    draw_analysis(picture, found)
    render_analysis(found, console)
    say(f"written to {numbers} and {picture}")


def _require_places(proposals: Path, folder: Path, inputs: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Refuse a folder of proposals, a file to write into, and to write over what is to be read or is not ours."""
    from wtal.core.errors import DataError

    numbers, picture = outputs
    if proposals.is_dir():
        raise DataError(f"{proposals}: is a folder, not proposals; name a file of proposals, then the ground truth")
    if folder.is_file():
        raise DataError(f"{folder}: is a file; name a folder for analysis.json and analysis.png with --out")
    for place in outputs:
        if place.is_dir():
            raise DataError(f"{place}: is a folder; name another one to write to with --out")
        if os.path.realpath(place) in map(os.path.realpath, inputs):
            raise DataError(f"{place}: is one of the files to be read; name another folder with --out")
    if picture.exists() and not numbers.exists():
        raise DataError(f"{picture}: is there without its analysis.json, so it may be yours; name a folder with --out")
    if numbers.exists() and not _is_analysis(numbers):
        raise DataError(f"{numbers}: holds something else, which would be lost; name another folder with --out")


def _is_analysis(path: Path) -> bool:
    """Whether a file is what this command writes."""
    from wtal.core.errors import DataError
    from wtal.core.io import read_json

    try:
        value = read_json(path)
    except DataError:
        return False
    return isinstance(value, dict) and "lowest_tiou" in value


plot = typer.Typer(no_args_is_help=True, add_completion=False)
app.add_typer(
    plot, name="plot", rich_help_panel=PANEL, help="Draw a plot for a paper: one column wide, as PNG, SVG or PDF."
)

Proposals = Annotated[
    Path, typer.Argument(metavar="PROPOSALS", help="Anybody's proposals in ActivityNet's result format")
]
Truth = Annotated[
    Path, typer.Argument(metavar="TRUTH", help="ActivityNet JSON, data set folder, THUMOS texts or W-TALC arrays")
]
Out = Annotated[Path, typer.Option(metavar="FILE", help="Where to draw; .png, .svg or .pdf")]
ProtocolName = Annotated[str, typer.Option("--protocol", metavar="NAME", help=PROTOCOLS)]
Subset = Annotated[
    str | None, typer.Option(metavar="NAME", help="Which subset of TRUTH", show_default="the protocol's")
]


@plot.command()
def errors(
    proposals: Proposals,
    truth: Truth,
    out: Out,
    protocol: ProtocolName = "activitynet",
    tiou: Annotated[float, typer.Option(help="tIoU from which on a prediction finds an action")] = 0.5,
    subset: Subset = None,
) -> None:
    """Why proposals lose points: predictions by kind, what mending each is worth, what is missed."""
    from wtal.data.ground_truth import find_ambiguous, read_timed_ground_truth
    from wtal.data.layouts.activitynet import read_proposals
    from wtal.evaluation.error_analysis import SIZES, analyse
    from wtal.reporting.error_tables import LIMITS, analysis_caption
    from wtal.reporting.figures.paper import draw, errors_figure, require_place

    require_place(out, proposals, truth)
    ambiguous = find_ambiguous(truth)
    found = analyse(read_proposals(proposals), read_timed_ground_truth(truth), protocol, tiou, subset, ambiguous)
    draw(out, partial(errors_figure, found))
    say(analysis_caption(found))
    sizes = ", ".join(map(" ".join, zip(SIZES, LIMITS, strict=True)))
    say(f"missed instances by {', '.join(trait.name for trait in found.traits)}: {sizes}; dashed: all instances")
    say(f"written to {out}")


@plot.command()
def precision(
    proposals: Proposals,
    truth: Truth,
    out: Out,
    protocol: ProtocolName = "activitynet",
    subset: Subset = None,
) -> None:
    """Precision over recall, the mean over the classes, at each tIoU of the protocol."""
    from wtal.data.ground_truth import find_ambiguous, read_ground_truth
    from wtal.data.layouts.activitynet import read_proposals
    from wtal.evaluation.evaluate import evaluate_with_matches
    from wtal.reporting.figures.paper import draw, precision_figure, require_place

    require_place(out, proposals, truth)
    ambiguous = find_ambiguous(truth)
    judged = evaluate_with_matches(
        read_proposals(proposals), read_ground_truth(truth), protocol, None, subset, ambiguous
    )
    draw(out, partial(precision_figure, judged))
    result = judged.result
    say(
        f"mean over {len(result.per_class):,} classes, {result.protocol}, {result.subset} subset: "
        f"{result.counts.proposals:,} proposals for {result.counts.instances:,} instances in "
        f"{result.counts.videos:,} videos"
    )
    say(f"written to {out}")


@plot.command()
def training(run: Run, out: Out) -> None:
    """Each term of the loss over the steps, of the local and the global branch."""
    from wtal.core.errors import DataError
    from wtal.reporting.figures.paper import draw, require_place, training_figure
    from wtal.reporting.html.charts import read_metrics

    require_place(out)
    metrics = read_metrics(run)
    if not metrics:
        raise DataError(f"{run}: no metrics.jsonl with numbers in it; name a run folder that `wtal train` wrote")
    draw(out, partial(training_figure, metrics))
    say("each term before its weight, and the loss, their weighted sum; terms that stay 0 are left out")
    say(f"written to {out}")


@plot.command()
def methods(
    comparison: Annotated[
        Path, typer.Argument(metavar="COMPARISON", help="comparison.json of `wtal compare`, or ablation.json")
    ],
    out: Out,
) -> None:
    """Methods against each other: mean and standard deviation over the seeds, a small dot a seed."""
    from wtal.reporting.figures.paper import draw, methods_figure, read_comparison, require_place

    require_place(out, comparison)
    found = read_comparison(comparison)
    draw(out, partial(methods_figure, found))
    say(f"mean and standard deviation over the seeds, a small dot a seed; {found.subset} subset, last checkpoint")
    say(f"written to {out}")


@app.command(rich_help_panel=PANEL)
def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run folder, or the folder of a comparison or a benchmark")
    ],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Data set folder", show_default="what a comparison was trained on"),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the video files are, to play them in the page")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write", show_default="report.html in RUN")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help=PROTOCOLS, show_default="the run's own, else activitynet")
    ] = None,
    subset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which sequences", show_default="those that were scored, else testing"),
    ] = None,
) -> None:
    """Write one HTML page of a run: scores, errors, curves, memory, and each video's timeline."""
    from wtal.core.errors import DataError
    from wtal.reporting.html.collect import collect_report_data
    from wtal.reporting.html.render import write_report

    place = out or run / "report.html"
    if place.is_dir():
        raise DataError(f"{place}: is a folder; name a file with --out")
    write_report(place, collect_report_data(run, place, data, videos, protocol, subset))
    say(f"report: {place.absolute()}")
