"""Commands that localize and score."""

from pathlib import Path
from typing import Annotated

import typer

from wtal.cli.app import (
    ConfigOption,
    DataArgument,
    ExternalOption,
    FormatOption,
    MethodOption,
    MethodsOption,
    ProposalsArgument,
    ProtocolOption,
    RunArgument,
    SeedsOption,
    SetOption,
    SubsetOption,
    TruthArgument,
    allow_method,
    command,
    console,
    print_line,
)
from wtal.core.text import format_count


@command("wtal localize runs/mine mydata", "wtal localize runs/mine mydata --subset validation --out proposals.json")
def localize(
    run: RunArgument,
    data: DataArgument,
    subset: Annotated[str, typer.Option(metavar="NAME", help="Subset to localize")] = "testing",
    branch: Annotated[
        str, typer.Option(metavar="NAME", help="local; ensemble or global to measure what is not used for inference")
    ] = "local",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File to write", show_default="RUN/proposals.json"),
    ] = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help="local, or ray for several machines")] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of Ray workers", show_default="one per machine")
    ] = None,
    method: MethodOption = None,
) -> None:
    """Write proposals (label, start, end in seconds, score) for a data set, in the ActivityNet results format."""
    from wtal.data.layouts.activitynet import require_proposals_path
    from wtal.experiments.pipeline import localize as localize_dataset

    allow_method(method)
    if out is not None:
        require_proposals_path(out)
    path = out or run / "proposals.json"
    proposals = localize_dataset(run, data, path, subset, branch, engine=engine, workers=workers)
    count = sum(map(len, proposals.values()))
    print_line(f"{format_count(count, 'proposal')} in {format_count(len(proposals), 'sequence')} of {subset}: {path}")


@command(
    "wtal evaluate runs/mine/proposals.json mydata",
    "wtal evaluate ours.json theirs.json truth.json --protocol thumos14-212 --out comparison.json",
    "wtal evaluate proposals.json truth.json --protocol all --format latex > table.tex",
)
def evaluate(
    proposals: Annotated[
        list[Path],
        typer.Argument(
            metavar="PROPOSALS",
            help="Proposals files in the ActivityNet results format; the first is compared with each of the others",
        ),
    ],
    truth: TruthArgument,
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="{protocols}; or all that fit TRUTH", show_default=False)
    ] = None,
    tiou: Annotated[
        list[float] | None,
        typer.Option(metavar="TIOU", help="tIoU threshold; repeatable", show_default="the protocol's thresholds"),
    ] = None,
    subset: SubsetOption = None,
    ambiguous: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Intervals in which some protocols ignore proposals",
            show_default="Ambiguous_test.txt beside TRUTH",
        ),
    ] = None,
    classes: Annotated[bool, typer.Option("--classes", help="Show a row for each class (one file only)")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="JSON file to write, with all numbers in full precision", show_default="none"
        ),
    ] = None,
    format: FormatOption = "terminal",
) -> None:
    """Score proposals under a named protocol. Several files are scored side by side with confidence intervals."""
    from wtal.core.errors import ConfigError
    from wtal.core.io import require_not_input
    from wtal.data.layouts.thumos import read_ambiguous
    from wtal.evaluation.protocols import DEFAULT_PROTOCOL, EvaluationOptions
    from wtal.experiments.pipeline import evaluate as evaluate_file
    from wtal.experiments.pipeline import evaluate_files
    from wtal.reporting.evaluation_tables import comparison_blocks, evaluation_blocks
    from wtal.reporting.tables import open_output

    all_protocols = protocol == "all"
    options = EvaluationOptions(
        protocol=DEFAULT_PROTOCOL if all_protocols or protocol is None else protocol,
        tious=tiou,
        subset=subset,
        ambiguous=None if ambiguous is None else read_ambiguous(ambiguous),
    )
    is_single = len(proposals) == 1 and not all_protocols
    if classes and not is_single:
        raise ConfigError("--classes works for one file under one protocol", hint="leave it out", code="invalid-option")
    with open_output(console, format) as output:
        if out is not None:
            require_not_input(out, ambiguous)
        if is_single:
            output.print(evaluation_blocks(evaluate_file(proposals[0], truth, options, out=out), classes))
        else:
            comparison = evaluate_files(proposals, truth, options, all_protocols=all_protocols, out=out)
            output.print(comparison_blocks(comparison))
        if out is not None:
            output.print([f"written to {out}"])


@command("wtal analyse runs/mine/proposals.json mydata --out analysis")
def analyse(
    proposals: ProposalsArgument,
    truth: TruthArgument,
    protocol: ProtocolOption = None,
    tiou: Annotated[float, typer.Option(metavar="TIOU", help="Minimum tIoU of a correct prediction")] = 0.5,
    subset: SubsetOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder to write, with analysis.json (all numbers) and analysis.png (a figure)",
            show_default="none",
        ),
    ] = None,
    format: FormatOption = "terminal",
) -> None:
    """Analyse the errors of proposals: errors by kind, the mAP each kind costs, and which instances are missed."""
    from wtal.core.io import require_file, require_output_file, write_json
    from wtal.data.ground_truth import find_ambiguous, read_timed_ground_truth
    from wtal.data.layouts.activitynet import read_proposals
    from wtal.evaluation.error_analysis import analyse as analyse_proposals
    from wtal.evaluation.evaluate import require_overlap
    from wtal.evaluation.protocols import DEFAULT_PROTOCOL, EvaluationOptions
    from wtal.reporting.error_tables import analysis_blocks
    from wtal.reporting.figures.error_analysis import draw_analysis
    from wtal.reporting.tables import open_output

    require_file(proposals, "name the proposals file first, then the ground truth")
    if out is not None:
        json_path, figure_path, hint = out / "analysis.json", out / "analysis.png", "name another folder with --out"
        require_output_file(json_path, (proposals, truth), _is_analysis, hint)
        require_output_file(figure_path, (proposals, truth), lambda _: json_path.exists(), hint)
    options = EvaluationOptions(protocol or DEFAULT_PROTOCOL, subset=subset, ambiguous=find_ambiguous(truth))
    with open_output(console, format) as output:
        predicted, ground_truth = read_proposals(proposals), read_timed_ground_truth(truth)
        require_overlap(predicted, ground_truth, options, proposals)
        analysis = analyse_proposals(predicted, ground_truth, options, tiou)
        output.print(analysis_blocks(analysis))
        if out is not None:
            write_json(json_path, analysis.to_json())
            draw_analysis(figure_path, analysis)
            output.print([f"written to {json_path} and {figure_path}"])


@command(
    "wtal compare mydata --methods baseline,local,dfe --out runs/compare",
    "wtal compare mydata --out runs/compare --external CO2-Net=proposals.json",
)
def compare(
    data: Annotated[list[Path], typer.Argument(metavar="DATA", help="One or more data set folders")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the runs and comparison.json")],
    methods: MethodsOption = "baseline,local,dfe",
    seeds: SeedsOption = 5,
    subset: Annotated[
        str, typer.Option(metavar="NAME", help="Subset to score; choose settings on validation")
    ] = "validation",
    external: ExternalOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of parallel runs", show_default="one per core")
    ] = None,
    format: FormatOption = "terminal",
) -> None:
    """Train and score several methods and seeds. Finished runs are reused, interrupted runs continue."""
    from wtal.core.config import read_config
    from wtal.experiments.compare import compare as compare_methods
    from wtal.experiments.compare import parse_methods
    from wtal.experiments.external import parse_external
    from wtal.reporting.comparison_tables import comparison_blocks
    from wtal.reporting.progress import runs_progress
    from wtal.reporting.tables import open_output

    names, settings = parse_methods(methods), read_config(config, tuple(overrides or ()))
    files = parse_external(external or ())
    with open_output(console, format) as output:
        with runs_progress(output.messages) as progress:
            comparison = compare_methods(
                data, out, names, seeds, subset, settings, workers=workers, external=files, on_progress=progress
            )
        output.print([*comparison_blocks(comparison), f"written to {out / 'comparison.json'}"])


def _is_analysis(path: Path) -> bool:
    """Whether a file was written by `wtal analyse`."""
    from wtal.core.errors import DataError
    from wtal.core.io import read_json

    try:
        value = read_json(path)
    except DataError:
        return False
    return isinstance(value, dict) and "lowest_tiou" in value
