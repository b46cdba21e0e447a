"""The error analysis of a proposals file as tables."""

from collections.abc import Callable, Iterator

from wtal.core.text import format_percent
from wtal.evaluation.error_analysis import TOP_K_PER_INSTANCE, Analysis
from wtal.evaluation.results import summary_lines
from wtal.evaluation.sensitivity import SIZE_BOUNDS, SIZES, Group, Trait
from wtal.reporting.tables import Block, TableData

SIZE_LIMITS = (*(f"≤ {bound}" for bound in SIZE_BOUNDS), f"> {SIZE_BOUNDS[-1]}")


def analysis_blocks(analysis: Analysis) -> Iterator[Block]:
    """Predictions by kind of error, missed instances by trait, and the notes of the evaluation."""
    yield analysis_caption(analysis)
    yield kind_table(analysis)
    yield missed_summary(analysis)
    yield from trait_tables(analysis)
    yield from [*summary_lines(analysis.result), *analysis.notes]


def analysis_caption(analysis: Analysis) -> str:
    """Which predictions are counted, and the mAP that a gain is added to."""
    result, tiou = analysis.result, f"{analysis.tiou:g}"
    return (
        f"predictions by kind at tIoU {tiou}, {result.protocol}: the {TOP_K_PER_INSTANCE} highest-scoring "
        f"predictions per instance of a class (top-{TOP_K_PER_INSTANCE}G), "
        f"{analysis.counted:,} of {result.counts.proposals:,}\n"
        "gain: points of mAP gained by removing all predictions of a kind; "
        f"mAP is {format_percent(analysis.map_at_tiou)} at tIoU {tiou} "
        f"and {format_percent(result.average())} averaged over {result.tiou_range}"
    )


def missed_summary(analysis: Analysis) -> str:
    """How many instances are missed, and the normalized mAP of all instances."""
    whole = analysis.whole
    return (
        f"missed at tIoU {analysis.tiou:g}: {whole.missed:,} of {whole.instances:,} instances "
        f"({format_percent(whole.miss_rate)} %); normalized mAP over tIoU {analysis.result.tiou_range}: "
        f"{format_percent(whole.normalised_map)}"
    )


def kind_table(analysis: Analysis) -> TableData:
    """A row for each kind of prediction: count, share of the top-1G and the top-10G predictions, and gain in mAP."""
    first = analysis.profile[0]
    rows = []
    for kind, count in analysis.kinds.items():
        gain = analysis.gains.get(kind)
        gains = [format_percent(value, sign=True) for value in (gain.at_tiou, gain.average)] if gain else ["", ""]
        rows.append(
            (kind, f"{count:,}", _share(first[kind], sum(first.values())), _share(count, analysis.counted), *gains)
        )
    shares = ("% top-1G", f"% top-{TOP_K_PER_INSTANCE}G")
    gain_columns = (f"gain {analysis.tiou:g}", f"gain {analysis.result.tiou_range}")
    return TableData(("kind", "count", *shares, *gain_columns), tuple(rows))


def trait_tables(analysis: Analysis) -> list[TableData]:
    """For each size of each trait of the instances: their number, the share missed, and the normalized mAP."""
    cells: dict[str, Callable[[Group], str]] = {
        "instances": lambda group: f"{group.instances:,}",
        "missed (%)": lambda group: format_percent(group.miss_rate),
        "normalized mAP (%)": lambda group: format_percent(group.normalised_map),
    }
    sizes = [f"{size} {limit}" for size, limit in zip(SIZES, SIZE_LIMITS, strict=True)]
    return [
        TableData(
            (heading, *sizes),
            tuple((f"{trait.name}, {trait.unit}", *map(cell, trait.groups)) for trait in analysis.traits),
        )
        for heading, cell in cells.items()
    ]


def empty_trait_reason(trait: Trait) -> str:
    """Why no size of a trait has an instance; empty if one has."""
    return "" if any(group.instances for group in trait.groups) else "video durations unknown"


def _share(part: int, whole: int) -> str:
    return format_percent(part / whole if whole else None)
