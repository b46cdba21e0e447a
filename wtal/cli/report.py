"""Commands that write the HTML report and plots for papers."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import (
    PANELS,
    ExternalOption,
    Group,
    MethodOption,
    ProposalsArgument,
    ProtocolOption,
    RunArgument,
    SubsetOption,
    TruthArgument,
    allow_method,
    app,
    command,
    print_line,
)
from wtal.core.text import format_count

OutOption = Annotated[Path, typer.Option("--out", metavar="FILE", help="Figure to write: .png, .svg or .pdf")]


@command("wtal report runs/mine --data mydata", "wtal report runs/compare --videos ~/Videos --out compare.html")
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, or folder of a comparison or benchmark")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Data set folder", show_default="that of the comparison or project"),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of the video files, to play them in the report")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write", show_default="report.html in RUN")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="{protocols}", show_default="that of the results of RUN")
    ] = None,
    subset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Subset to show", show_default="the scored subset, else testing"),
    ] = None,
    external: ExternalOption = None,
    colors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Colors of classes set on the web page: colors.json in its folder of timelines"
        ),
    ] = None,
    method: MethodOption = None,
) -> None:
    """Write one HTML page about a run: scores, errors, training curves, memory, and the timeline of each video."""
    from wtal.core.io import require_output_file
    from wtal.experiments.external import parse_external
    from wtal.reporting.class_colors import read_class_colors
    from wtal.reporting.html.collect import collect_report_data
    from wtal.reporting.html.render import is_report, write_report

    allow_method(method)
    path = out or run / "report.html"
    require_output_file(path, (data, colors), is_report, "pass another file with --out")
    files = parse_external(external or ())
    custom = read_class_colors(colors) if colors else {}
    content = collect_report_data(run, path, data, videos, protocol, subset, files)
    write_report(path, replace(content, colors=custom))
    print_line(f"report: {path.absolute()}")


plot = typer.Typer(cls=Group, no_args_is_help=True, add_completion=False)
app.add_typer(
    plot,
    name="plot",
    rich_help_panel=next(panel for panel, names in PANELS.items() if "plot" in names),
    help="Draw a plot for a paper, one column wide, as PNG, SVG or PDF.",
    epilog="\b\nExample:\n  wtal plot errors runs/mine/proposals.json mydata --out errors.pdf",
)


@command("wtal plot errors runs/mine/proposals.json mydata --out errors.pdf", group=plot)
def errors(
    proposals: ProposalsArgument,
    truth: TruthArgument,
    out: OutOption,
    protocol: ProtocolOption = None,
    tiou: Annotated[float, typer.Option(metavar="TIOU", help="tIoU from which a prediction counts as correct")] = 0.5,
    subset: SubsetOption = None,
) -> None:
    """Errors by kind, the mAP each kind costs, and which instances are missed."""
    from wtal.data.ground_truth import find_ambiguous, read_timed_ground_truth
    from wtal.data.layouts.activitynet import read_proposals
    from wtal.evaluation.error_analysis import analyse
    from wtal.evaluation.evaluate import require_overlap
    from wtal.evaluation.protocols import DEFAULT_PROTOCOL, EvaluationOptions
    from wtal.evaluation.sensitivity import SIZES
    from wtal.reporting.error_tables import SIZE_LIMITS, analysis_caption
    from wtal.reporting.figures.paper import draw, errors_figure, require_output

    require_output(out, proposals, truth)
    options = EvaluationOptions(protocol or DEFAULT_PROTOCOL, subset=subset, ambiguous=find_ambiguous(truth))
    predicted, ground_truth = read_proposals(proposals), read_timed_ground_truth(truth)
    require_overlap(predicted, ground_truth, options, proposals)
    analysis = analyse(predicted, ground_truth, options, tiou)
    draw(out, partial(errors_figure, analysis))
    print_line(analysis_caption(analysis))
    sizes = ", ".join(map(" ".join, zip(SIZES, SIZE_LIMITS, strict=True)))
    traits = ", ".join(trait.name for trait in analysis.traits)
    print_line(f"missed instances by {traits}: {sizes}; dashed line: all instances")
    print_line(f"written to {out}")


@command("wtal plot precision runs/mine/proposals.json mydata --out precision.pdf", group=plot)
def precision(
    proposals: ProposalsArgument,
    truth: TruthArgument,
    out: OutOption,
    protocol: ProtocolOption = None,
    subset: SubsetOption = None,
) -> None:
    """Precision-recall curves, averaged over the classes, at each tIoU of the protocol."""
    from wtal.data.ground_truth import find_ambiguous, read_ground_truth
    from wtal.data.layouts.activitynet import read_proposals
    from wtal.evaluation.evaluate import evaluate_with_matches, require_overlap
    from wtal.evaluation.protocols import DEFAULT_PROTOCOL, EvaluationOptions
    from wtal.reporting.figures.paper import draw, precision_figure, require_output

    require_output(out, proposals, truth)
    options = EvaluationOptions(protocol or DEFAULT_PROTOCOL, subset=subset, ambiguous=find_ambiguous(truth))
    predicted, ground_truth = read_proposals(proposals), read_ground_truth(truth)
    require_overlap(predicted, ground_truth, options, proposals)
    evaluation = evaluate_with_matches(predicted, ground_truth, options)
    draw(out, partial(precision_figure, evaluation))
    result, counts = evaluation.result, evaluation.result.counts
    print_line(
        f"mean over {format_count(len(result.per_class), 'class', 'classes')}, {result.protocol}, {result.subset} "
        f"subset: {format_count(counts.proposals, 'proposal')}, {format_count(counts.instances, 'instance')}, "
        f"{format_count(counts.videos, 'video')}"
    )
    print_line(f"written to {out}")


@command("wtal plot training runs/mine --out training.pdf", group=plot)
def training(run: RunArgument, out: OutOption) -> None:
    """Loss terms over the training steps."""
    from wtal.core.errors import DataError
    from wtal.reporting.curves import read_metrics
    from wtal.reporting.figures.paper import draw, require_output, training_figure

    require_output(out)
    metrics = read_metrics(run)
    if not metrics:
        raise DataError(
            "no metrics.jsonl with values",
            path=run,
            hint="pass a run folder written by `wtal train`",
            code="file-not-found",
        )
    draw(out, partial(training_figure, metrics))
    print_line("each loss term before weighting, and the weighted sum; terms that stay 0 are omitted")
    print_line(f"written to {out}")


@command("wtal plot methods runs/compare/comparison.json --out methods.pdf", group=plot)
def methods(
    comparison: Annotated[
        Path,
        typer.Argument(
            metavar="COMPARISON", help="comparison.json of `wtal compare`, or benchmark.json of `wtal benchmark`"
        ),
    ],
    out: OutOption,
) -> None:
    """Mean and standard deviation of each method over the seeds, with a dot for each seed."""
    from wtal.reporting.benchmark_report import SYNTHETIC_TITLE
    from wtal.reporting.figures.paper import draw, methods_figure, read_comparison, require_output

    require_output(out, comparison)
    result = read_comparison(comparison)
    draw(out, partial(methods_figure, result))
    features = f"{SYNTHETIC_TITLE}; " if result.is_synthetic else ""
    print_line(
        f"{features}mean and standard deviation over the seeds, a dot per seed; {result.subset} subset, last checkpoint"
    )
    print_line(f"written to {out}")
