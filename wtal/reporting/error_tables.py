"""An error analysis as tables; the numbers are all in `wtal.evaluation.error_analysis.Analysis`."""

from collections.abc import Callable

from rich.console import Console

from wtal.core.text import print_line
from wtal.evaluation.error_analysis import TOP_K_PER_INSTANCE, Analysis
from wtal.evaluation.results import summary_lines
from wtal.evaluation.sensitivity import SIZE_BOUNDS, SIZES, Group, Trait
from wtal.reporting.tables import TableData, terminal

LIMITS = (*(f"≤ {bound}" for bound in SIZE_BOUNDS), f"> {SIZE_BOUNDS[-1]}")


def render_analysis(analysis: Analysis, console: Console) -> None:
    """Predictions by kind, instances by trait, and what to know about the numbers."""
    print_line(console, analysis_caption(analysis))
    console.print(terminal(kind_sheet(analysis)))
    print_line(console, what_is_missed(analysis))
    for sheet in trait_sheets(analysis):
        console.print(terminal(sheet))
    for line in [*summary_lines(analysis.result), *analysis.notes]:
        print_line(console, line)


def analysis_caption(analysis: Analysis) -> str:
    """Which predictions the kinds are told of, and the scores that a gain is added to."""
    result = analysis.result
    return (
        f"predictions by kind at tIoU {analysis.tiou:g}, {result.protocol}: the {TOP_K_PER_INSTANCE} surest for each "
        f"instance "
        f"of a class (top-{TOP_K_PER_INSTANCE}G), {analysis.counted:,} of {result.counts.proposals:,}\n"
        f"gain: points of mAP, were the kind mended; now {percent(analysis.map_at_tiou)} at "
        f"{analysis.tiou:g}, {percent(result.average())} on average over {span(analysis)}"
    )


def what_is_missed(analysis: Analysis) -> str:
    """The whole that the sizes are parts of."""
    whole = analysis.whole
    return (
        f"missed at tIoU {analysis.tiou:g}: {whole.missed:,} of {whole.instances:,} instances, "
        f"{percent(whole.miss_rate)} %; normalised mAP over {span(analysis)}: {percent(whole.normalised_map)}"
    )


def kind_sheet(analysis: Analysis) -> TableData:
    """A row a kind: how many, their share among the surest and among all that count, and what mending is worth."""
    surest = analysis.profile[0]
    rows = []
    for kind, count in analysis.kinds.items():
        gain = analysis.gains.get(kind)
        gained = (f"{100 * gain.at_tiou:+.1f}", f"{100 * gain.average:+.1f}") if gain else ("", "")
        shares = share(surest[kind], sum(surest.values())), share(count, analysis.counted)
        rows.append((kind, f"{count:,}", *shares, *gained))
    columns = ("kind", "count", "% top-1G", f"% top-{TOP_K_PER_INSTANCE}G")
    return TableData((*columns, f"gain {analysis.tiou:g}", f"gain {span(analysis)}"), tuple(rows))


def trait_sheets(analysis: Analysis) -> list[TableData]:
    """A row a trait, a column a size: how many instances, the share that is missed, and the normalised mAP."""
    figures: dict[str, Callable[[Group], str]] = {
        "instances": lambda group: f"{group.instances:,}",
        "missed (%)": lambda group: percent(group.miss_rate),
        "normalised mAP (%)": lambda group: percent(group.normalised_map),
    }
    sizes = [f"{size} {limit}" for size, limit in zip(SIZES, LIMITS, strict=True)]
    return [
        TableData(
            (title, *sizes),
            tuple((f"{trait.name}, {trait.unit}", *map(told, trait.groups)) for trait in analysis.traits),
        )
        for title, told in figures.items()
    ]


def why_empty(trait: Trait) -> str:
    """Why no size of a trait has an instance; empty where one has."""
    return "" if any(group.instances for group in trait.groups) else "durations not known"


def span(analysis: Analysis) -> str:
    """The tIoUs that are averaged over, as 0.1-0.7."""
    tious = analysis.result.tious
    return f"{tious[0]:g}-{tious[-1]:g}"


def percent(value: float | None) -> str:
    """A fraction with one decimal; empty where there is none."""
    return "" if value is None else f"{100 * value:.1f}"


def share(part: int, whole: int) -> str:
    """The part in percent of the whole; empty where there is nothing."""
    return percent(part / whole if whole else None)
