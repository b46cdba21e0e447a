"""Evaluation results as tables: mAP, average precision per class, several files and protocols."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from wtal.core.text import format_count, format_percent
from wtal.evaluation.bootstrap import DRAWS, EvaluatedFile, EvaluationComparison
from wtal.evaluation.protocols import PROTOCOLS, Protocol
from wtal.evaluation.results import EvaluationResult, format_range, summary_lines
from wtal.inference.operating_point import LABELS, Calibration
from wtal.reporting.tables import Block, TableData, format_interval, format_mean_std

COUNTS = ("videos", "instances", "classes")


def evaluation_blocks(result: EvaluationResult, classes: bool = False) -> Iterator[Block]:
    """mAP at each tIoU, with `classes` the average precision of each class, and the notes."""
    title = f"mAP (%) by tIoU, {result.protocol}, checkpoint: {result.checkpoint}"
    yield map_table({"mAP": [result]}, "tIoU", title)
    if classes:
        yield class_table([result])
    yield from summary_lines(result)


def map_table(
    results: Mapping[str, Sequence[EvaluationResult]], label: str = "method", title: str = "", bold: Sequence[int] = ()
) -> TableData:
    """mAP in percent at each tIoU and averaged over the protocol's tIoU ranges.

    Args:
        results: For each row its results under one protocol, one per seed; mean and standard deviation are shown.
        label: Heading of the first column.
        title: Title of the table.
        bold: Indices of the highlighted rows.
    """
    first = next(iter(results.values()))[0]
    rows = []
    for name, seeds in results.items():
        maps = 100 * np.array([result.map for result in seeds])  # seeds x tIoUs
        averages = [[100 * result.average(*bounds) for result in seeds] for bounds in first.averages]
        rows.append((name, *map(format_mean_std, [*maps.T.tolist(), *averages])))
    return TableData((label, *_map_headings(first)), tuple(rows), title, tuple(bold))


def _map_headings(result: EvaluationResult) -> list[str]:
    """The headings of mAP at each tIoU and of the averages."""
    averages = [f"avg\n{format_range(*bounds)}" for bounds in result.averages]
    return [*(f"{tiou:g}" for tiou in result.tious), *averages]


def class_table(results: Sequence[EvaluationResult]) -> TableData:
    """The average precision of each class in percent, at each tIoU and averaged over all of them.

    Args:
        results: Results under one protocol, one per seed; each cell is their mean, the average has a deviation.
    """
    first = results[0]
    rows = []
    for label, instances in first.instances_per_class.items():
        precisions = 100 * np.array([result.per_class[label] for result in results])  # seeds x tIoUs
        cells = [f"{precision:.1f}" for precision in precisions.mean(0)]
        rows.append((label, f"{instances:,}", *cells, format_mean_std(precisions.mean(1).tolist())))
    columns = ("class", "instances", *(f"{tiou:g}" for tiou in first.tious), f"avg\n{first.tiou_range}")
    seeds = f", mean over {len(results)} seeds" if len(results) > 1 else ""
    return TableData(columns, tuple(rows), f"average precision (%) per class by tIoU{seeds}")


def comparison_blocks(comparison: EvaluationComparison) -> Iterator[Block]:
    """Several files under several protocols: mAP at each tIoU, differences, the protocols' rules and the notes."""
    protocols = list(dict.fromkeys(entry.result.protocol for entry in comparison.entries))
    yield from _map_tables(comparison)
    if comparison.differences:
        yield _differences_table(comparison)
    yield f"95 % intervals of the last range: paired bootstrap over videos, {DRAWS:,} draws"
    yield protocol_table([PROTOCOLS[name] for name in protocols])
    yield from merge_notes([(entry.file, entry.result) for entry in comparison.entries])
    if comparison.not_fitting:
        yield f"skipped, because they expect different ground truth: {', '.join(comparison.not_fitting)}"


def _map_tables(comparison: EvaluationComparison) -> Iterator[TableData]:
    """A table for each set of tIoUs, with a row for each protocol and file: mAP at each tIoU, then the averages."""
    labels = 2 if len({entry.file for entry in comparison.entries}) > 1 else 1  # a single file has no column
    groups: dict[tuple[object, ...], list[EvaluatedFile]] = {}
    for entry in comparison.entries:
        groups.setdefault((entry.result.tious, entry.result.averages), []).append(entry)
    for entries in groups.values():
        first = entries[0].result
        rows = []
        for entry in entries:
            values = [*entry.result.map, *(entry.result.average(*bounds) for bounds in first.averages)]
            interval = format_interval(entry.average.low, entry.average.high)
            names = (entry.result.protocol, entry.file)[:labels]
            rows.append((*names, *map(format_percent, values), interval))
        title = f"mAP (%) by tIoU, checkpoint: {first.checkpoint}"
        columns = (*("protocol", "file")[:labels], *_map_headings(first), "95 % interval")
        align = "l" * labels + "r"
        yield TableData(columns, tuple(rows), title, sections=_section_starts(rows), align=align, labels=labels)


def _differences_table(comparison: EvaluationComparison) -> TableData:
    ranges = {entry.result.protocol: format_range(*entry.result.averages[-1]) for entry in comparison.entries}
    rows = [
        (
            pair.protocol,
            f"{pair.file} - {pair.other}",
            ranges[pair.protocol],
            format_percent(pair.difference.value, sign=True),
            format_interval(pair.difference.low, pair.difference.high, sign=True),
        )
        for pair in comparison.differences
    ]
    columns = ("protocol", "files", "tIoU", "difference", "95 % interval")
    title = "differences in average mAP (points)"
    return TableData(columns, tuple(rows), title, sections=_section_starts(rows), align="llr", labels=2)


def _section_starts(rows: Sequence[tuple[str, ...]]) -> tuple[int, ...]:
    """Indices of rows whose first cell differs from the row above; none if all of them differ."""
    starts = tuple(i for i in range(1, len(rows)) if rows[i][0] != rows[i - 1][0])
    return starts if len(starts) < len(rows) - 1 else ()


def protocol_table(protocols: Sequence[Protocol]) -> TableData:
    """A column for each protocol, a row for each rule in which they differ; all rules of a single protocol."""
    rules = {protocol.name: protocol_rules(protocol) for protocol in protocols}
    first, *others = rules.values()
    differing = [name for name in first if not others or any(other[name] != first[name] for other in others)]
    rows = tuple((name, *(values[name] for values in rules.values())) for name in differing)
    return TableData(("rule", *rules), rows, "differences between the protocols" if others else "protocol", align="l")


def protocol_rules(protocol: Protocol) -> dict[str, str]:
    """The rules of a protocol by name, in words."""
    expected = {
        name: f"{protocol.expected_counts[name]:,}" if name in protocol.expected_counts else "any" for name in COUNTS
    }
    return {
        "tIoU": format_range(protocol.tious[0], protocol.tious[-1]),
        "time unit": "seconds" if protocol.snippet_rate is None else "snippets",
        **expected,
        "excluded": format_count(len(protocol.excluded_videos), "video") if protocol.excluded_videos else "nothing",
        "match": "best free segment" if protocol.prefers_best else "first in file order",
        "precision": "interpolated" if protocol.interpolated else "at each hit",
        "ambiguous list": "removed" if protocol.removes_ambiguous else "not used",
        "rounded": "truth, proposals"
        if protocol.truncates_proposals
        else "truth"
        if protocol.snippet_rate
        else "nothing",
    }


def merge_notes(results: Sequence[tuple[str, EvaluationResult]]) -> list[str]:
    """The notes of several results, each once, with the protocols and files that it holds for.

    Args:
        results: File name and result; the file names may be equal.
    """
    all_files = list(dict.fromkeys(file for file, _ in results))
    all_protocols = list(dict.fromkeys(result.protocol for _, result in results))
    files_of: dict[tuple[str, str], list[str]] = {}  # note, protocol -> files
    for file, result in results:
        for line in summary_lines(result):
            files_of.setdefault((line.removeprefix(f"{result.protocol} "), result.protocol), []).append(file)
    protocols_of: dict[tuple[str, tuple[str, ...]], list[str]] = {}  # note, files -> protocols
    for (note, protocol), files in files_of.items():
        protocols_of.setdefault((note, tuple(files)), []).append(protocol)
    lines = []
    for (note, noted_files), protocols in protocols_of.items():
        scope = "all protocols" if protocols == all_protocols and len(protocols) > 1 else ", ".join(protocols)
        suffix = "" if list(noted_files) == all_files else f" ({', '.join(noted_files)})"
        lines.append(f"{note}{suffix}" if scope in note else f"{scope}{suffix}: {note}")
    return lines


def calibration_table(calibration: Calibration, target: str) -> TableData:
    """The score threshold of each class, and the precision, recall and F1 that it reaches."""
    point = calibration.operating_point(target)
    rows = []
    for label, threshold in point.thresholds.items():
        result = point.results[label]
        rates = (
            format_percent(rate, 0, unit=" %", missing="-") for rate in (result.precision, result.recall, result.f1)
        )
        shown = "none" if threshold is None else f"{threshold:.3f}"
        rows.append((label, f"{result.total:,}", shown, f"{result.shown:,}", f"{result.correct:,}", *rates))
    instances = "tagged videos" if calibration.source == LABELS else "segments"
    columns = ("class", instances, "threshold", "shown", "correct", "precision", "recall", "F1")
    return TableData(columns, tuple(rows), f"score thresholds for {target}")
