"""How an operating point was chosen and what it reached, as a sentence and as a table."""

from wtal.operating import LABELS, TIOU, Calibration, OperatingPoint
from wtal.report.sheet import Sheet


def sentence(point: OperatingPoint) -> str:
    """What was chosen on what, and what that promises."""
    whole = point.whole
    chosen = f"operating point {point.aim}: chosen on the {point.source} of {point.videos:,} {point.subset} videos"
    if not whole.shown:
        return f"{chosen}; there no score is sure enough, so nothing is shown"
    if point.source == LABELS:
        return (
            f"{chosen}; there {percent(whole.precision)} of the classes shown in a video are among its tags, "
            f"{percent(whole.recall)} of the tags shown; when, and how often, nobody judged"
        )
    return (
        f"{chosen}; there {percent(whole.precision)} of what is shown is right at tIoU {TIOU:g}, "
        f"{percent(whole.recall)} of the actions found"
    )


def operating_sheet(calibration: Calibration, aim: str) -> Sheet:
    """A row for each class: how many there were, from which score it is shown, and what that reached."""
    point = calibration.at(aim)
    what = "tagged" if calibration.source == LABELS else "actions"
    rows = []
    for label, threshold in point.thresholds.items():
        reached = point.reached[label]
        least = "never" if threshold is None else f"{threshold:.3f}"
        figures = map(percent, (reached.precision, reached.recall, reached.f1))
        rows.append((label, f"{reached.there:,}", least, f"{reached.shown:,}", f"{reached.right:,}", *figures))
    return Sheet((aim, what, "score", "shown", "right", "precision", "recall", "F1"), tuple(rows))


def percent(share: float | None) -> str:
    """Whole percents; a dash where there is none."""
    return "-" if share is None else f"{100 * share:.0f} %"
