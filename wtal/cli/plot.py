"""The commands that draw plots for papers, `wtal plot WHAT`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import Run, app, say
from wtal.cli.learning import PANEL, PROTOCOLS

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
    from wtal.analysis import analyse
    from wtal.analysis.records import SIZES
    from wtal.formats.results import read_results
    from wtal.formats.truth import find_ambiguous, read_timed_truth
    from wtal.report.analysis_table import LIMITS, what_counts
    from wtal.report.paper_plots import draw, errors_figure, require_place

    require_place(out, proposals, truth)
    ambiguous = find_ambiguous(truth)
    found = analyse(read_results(proposals), read_timed_truth(truth), protocol, tiou, subset, ambiguous)
    draw(out, partial(errors_figure, found))
    say(what_counts(found))
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
    from wtal.evaluate import judge
    from wtal.formats.results import read_results
    from wtal.formats.truth import find_ambiguous, read_truth
    from wtal.report.paper_plots import draw, precision_figure, require_place

    require_place(out, proposals, truth)
    ambiguous = find_ambiguous(truth)
    judged = judge(read_results(proposals), read_truth(truth), protocol, None, subset, ambiguous)
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
    from wtal.errors import DataError
    from wtal.report.curves import read_metrics
    from wtal.report.paper_plots import draw, require_place, training_figure

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
    from wtal.report.paper_plots import draw, methods_figure, read_comparison, require_place

    require_place(out, comparison)
    found = read_comparison(comparison)
    draw(out, partial(methods_figure, found))
    say(f"mean and standard deviation over the seeds, a small dot a seed; {found.subset} subset, last checkpoint")
    say(f"written to {out}")
