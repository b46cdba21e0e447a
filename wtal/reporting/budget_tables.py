"""Time budgets and the agreement of two annotations as tables, and as CSV."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping

from wtal.core.text import escape_formula, format_count, format_percent, format_time
from wtal.data.problems import format_ids
from wtal.evaluation.agreement import Agreement, AgreementOptions, AgreementScores
from wtal.evaluation.time_budget import ClassBudget, TimeBudget
from wtal.reporting.tables import Block, TableData

MAX_VIDEOS = 12  # with rows of their own in a terminal
ALL_CLASSES = "all classes"
NO_BOUTS = ClassBudget(0, 0, 0.0, None, None, 0.0, None)
AGREEMENT_COLUMNS = (
    *("kappa", "equal\nbins (%)", "bouts", "reference\nbouts", "matched", "precision\n(%)", "recall\n(%)", "F1\n(%)"),
    *("segment\noverlap", "temporal\nprecision", "intra-bout\ncontinuity"),
)
BUDGET_FIELDS = ("bouts", "points", "total_s", "mean_s", "median_s", "share")
AGREEMENT_FIELDS = (
    *("kappa", "equal_bins", "matched", "precision", "recall", "f1"),
    *("segment_overlap", "temporal_precision", "intra_bout_continuity"),
)


# --- Tables and lines of a command ------------------------------------------------------------------------------------


def budget_blocks(budget: TimeBudget, name: str) -> Iterator[Block]:
    """The time budget of each class over all videos and, unless they are many, in each video."""
    yield f"time budget of {name}: {_describe_videos(budget)}"
    if not budget.classes:
        yield "no segments"
        return
    yield budget_table({"": budget})
    if 1 < len(budget.videos) <= MAX_VIDEOS:
        yield video_budget_table({"": budget})


def agreement_blocks(
    budgets: Mapping[str, TimeBudget], agreement: Agreement, by_video: Mapping[str, Agreement]
) -> Iterator[Block]:
    """Two time budgets side by side and the agreement on each class and, unless they are many, in each video.

    Args:
        budgets: The two time budgets by the name of the annotation, the reference second.
        agreement: The agreement on all videos.
        by_video: The agreement on each video.
    """
    name, reference = budgets
    yield f"time budgets of {name} and of the reference {reference}: {_describe_videos(budgets[name])}"
    yield budget_table(dict(zip(("", "reference"), budgets.values(), strict=True)))
    yield f"agreement of {name} with the reference {reference}"
    yield agreement_table(agreement)
    if 1 < len(by_video) <= MAX_VIDEOS:
        yield video_agreement_table(by_video)
    yield from agreement_notes(agreement.options)


def _describe_videos(budget: TimeBudget) -> str:
    duration = "" if budget.duration is None else f", {format_time(budget.duration)}"
    return format_count(len(budget.videos), "video") + duration


# --- Tables -----------------------------------------------------------------------------------------------------------


def budget_table(budgets: Mapping[str, TimeBudget]) -> TableData:
    """The time budget of each class over all videos.

    Args:
        budgets: Time budgets of one or more annotations, by the first line of the headings of their columns. They are
            side by side. Points have a column if there are any.
    """
    columns = _columns(budget for side in budgets.values() for budget in side.overall.values())
    headings = [f"{name}\n{column}" if name else column for column in columns for name in budgets]
    labels = sorted({label for side in budgets.values() for label in side.classes})
    rows = [
        (label, *(cell(side.overall.get(label, NO_BOUTS)) for cell in columns.values() for side in budgets.values()))
        for label in labels
    ]
    return TableData(("class", *headings), tuple(rows))


def video_budget_table(budgets: Mapping[str, TimeBudget]) -> TableData:
    """As `budget_table`, with a row for each video and each class that occurs in it."""
    sides = list(budgets.values())
    columns = _columns(budget for side in sides for budget in side.overall.values())
    headings = [f"{name}\n{column}" if name else column for column in columns for name in budgets]
    rows = []
    for id, of_video in sides[0].videos.items():
        for label in sorted({*of_video, *(label for side in sides for label in side.videos[id])}):
            group = [side.videos[id].get(label, NO_BOUTS) for side in sides]
            if any(budget.bouts or budget.points for budget in group):
                rows.append((id, label, *(cell(budget) for cell in columns.values() for budget in group)))
    return TableData(("video", "class", *headings), tuple(rows), align="llr", labels=2)


def agreement_table(agreement: Agreement) -> TableData:
    """The agreement on each class, and on all of them."""
    rows = [(label, *_agreement_cells(scores)) for label, scores in agreement.classes.items()]
    rows.append((ALL_CLASSES, *_agreement_cells(agreement.overall)))
    return TableData(("class", *AGREEMENT_COLUMNS), tuple(rows), bold=(len(rows) - 1,))


def video_agreement_table(by_video: Mapping[str, Agreement]) -> TableData:
    """The agreement on all classes in each video."""
    rows = [(id, *_agreement_cells(agreement.overall)) for id, agreement in by_video.items()]
    return TableData(("video", *AGREEMENT_COLUMNS), tuple(rows))


def budget_remarks(budgets: Mapping[str, TimeBudget], hint: str = "") -> list[str]:
    """What to know about the numbers of time budgets of the same videos.

    Args:
        budgets: The time budgets by the name of the annotation.
        hint: Where missing durations can come from.
    """
    remarks = []
    first = next(iter(budgets.values()))
    if first.untimed:
        end = "; for kappa it ends with its last segment" if len(budgets) > 1 else ""
        remarks.append(
            f"duration unknown and share empty for {len(first.untimed):,} of {len(first.videos):,} videos"
            f"{end} ({format_ids(first.untimed)}){f'; {hint}' if hint else ''}"
        )
    for name, budget in budgets.items():
        count = sum(of_class.bouts for of_class in budget.overall.values())
        if budget.overlapping:
            remarks.append(
                f"{name}: {budget.overlapping:,} of {count:,} bouts overlap another bout of their class; "
                "the total counts both, the share counts the time once"
            )
        if budget.beyond_end:
            remarks.append(
                f"{name}: {budget.beyond_end:,} of {count:,} bouts end after their video; "
                "the share counts the time inside it"
            )
    return remarks


def agreement_notes(options: AgreementOptions) -> list[str]:
    """How the numbers of an agreement are defined."""
    tiou = f"their tIoU is at least {options.min_tiou:g}" if options.min_tiou else "they overlap"
    return [
        f"kappa (Cohen) and equal bins: bins of {options.bin_width:g} s; over all classes, a bin is equal if both "
        "annotations have the same set of classes there",
        f"bouts and points of a class are matched one to one: two bouts if {tiou}, or if start and end differ by at "
        f"most {options.tolerance:g} s; a point if at most {options.tolerance:g} s lie between",
        "precision is the matched share of the bouts and points, recall that of the reference's",
    ]


def _columns(budgets: Iterable[ClassBudget]) -> dict[str, Callable[[ClassBudget], str]]:
    """The cells of a budget by column; points have one if there are any."""
    columns: dict[str, Callable[[ClassBudget], str]] = {
        "bouts": lambda budget: f"{budget.bouts:,}",
        "points": lambda budget: f"{budget.points:,}",
        "total": lambda budget: format_time(budget.total, 0.1),
        "mean (s)": lambda budget: _format(budget.mean),
        "median (s)": lambda budget: _format(budget.median),
        "share (%)": lambda budget: format_percent(budget.share),
    }
    if not any(budget.points for budget in budgets):
        del columns["points"]
    return columns


def _agreement_cells(scores: AgreementScores) -> tuple[str, ...]:
    return (
        _format(scores.kappa),
        format_percent(scores.equal_bins),
        f"{scores.events:,}",
        f"{scores.reference_events:,}",
        f"{scores.matched:,}",
        *map(format_percent, (scores.precision, scores.recall, scores.f1)),
        *map(_format, (scores.segment_overlap, scores.temporal_precision, scores.intra_bout_continuity)),
    )


def _format(value: float | None) -> str:
    return "" if value is None else f"{value:z.2f}"


# --- CSV --------------------------------------------------------------------------------------------------------------


def budget_csv(
    budget: TimeBudget,
    reference: TimeBudget | None = None,
    agreement: Agreement | None = None,
    by_video: Mapping[str, Agreement] | None = None,
) -> str:
    """A CSV table with a row for each video and class, also for classes that do not occur in a video.

    An empty video stands for all videos, an empty class for all classes. Times are in seconds, shares are fractions,
    unknown values are empty. Names that a spreadsheet would run as a formula are preceded by an apostrophe.

    Args:
        budget: The time budget.
        reference: The time budget of the reference, in columns that begin with `reference_`.
        agreement: The agreement on all videos.
        by_video: The agreement on each video.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    header = ["video", "class", *BUDGET_FIELDS]
    header += [f"reference_{name}" for name in BUDGET_FIELDS] if reference else []
    writer.writerow([*header, *(AGREEMENT_FIELDS if agreement else ())])
    for id in (*budget.videos, ""):
        scores = (by_video or {}).get(id) if id else agreement
        for label, cells in _csv_cells(budget, reference, id):
            of_class = None if scores is None else scores.classes.get(label) if label else scores.overall
            if label or of_class:
                writer.writerow(
                    [
                        escape_formula(id),
                        escape_formula(label),
                        *cells,
                        *(_score_cells(of_class) if agreement else ()),
                    ]
                )
    return text.getvalue()


def _csv_cells(budget: TimeBudget, reference: TimeBudget | None, id: str) -> Iterator[tuple[str, list[object]]]:
    """For each class, and for all of them, the budget's columns of a video; an empty id is all videos."""
    sides = [budget, *([reference] if reference else [])]
    groups = [side.videos.get(id, {}) if id else side.overall for side in sides]
    for label in sorted({label for side in sides for label in side.classes}):
        yield label, [cell for group in groups for cell in _value_cells(group.get(label))]
    yield "", [cell for _ in sides for cell in _value_cells(None)]


def _value_cells(budget: ClassBudget | None) -> list[object]:
    if budget is None:
        return [""] * len(BUDGET_FIELDS)
    values = (budget.total, budget.mean, budget.median, budget.share)
    return [budget.bouts, budget.points, *map(_number, values)]


def _score_cells(scores: AgreementScores | None) -> list[object]:
    if scores is None:
        return [""] * len(AGREEMENT_FIELDS)
    return [_number(getattr(scores, name)) for name in AGREEMENT_FIELDS]


def _number(value: float | None) -> object:
    return "" if value is None else round(value, 6)
