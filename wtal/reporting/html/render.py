"""Render the report as one HTML page that opens from disk, loads nothing from the network and runs no user input."""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined
from numpy.typing import NDArray

from wtal import __version__
from wtal.core.io import write_text
from wtal.core.text import format_percent, format_time
from wtal.evaluation.error_analysis import Analysis
from wtal.evaluation.results import between, summary_lines
from wtal.evaluation.sensitivity import Group
from wtal.inference.operating_point import TIOU
from wtal.reporting.budget_tables import (
    agreement_notes,
    agreement_table,
    budget_remarks,
    budget_table,
    video_agreement_table,
    video_budget_table,
)
from wtal.reporting.class_colors import custom_theme_colors
from wtal.reporting.comparison_tables import external_label, external_notes, external_table
from wtal.reporting.error_tables import (
    analysis_caption,
    empty_trait_reason,
    kind_table,
    missed_summary,
    trait_tables,
)
from wtal.reporting.evaluation_tables import class_table, map_table
from wtal.reporting.figures.colors import DARK_PALETTE, MAX_COLORED_CLASSES, PALETTE, darken, lighten, theme_colors
from wtal.reporting.figures.layout import TimelineData, axis_end
from wtal.reporting.html.bundle import bundle
from wtal.reporting.html.charts import precision_charts, training_charts
from wtal.reporting.html.collect import BudgetSummary, ReportData, ReportScores
from wtal.reporting.html.encoding import MAX_FLOAT32, encode_timeline
from wtal.reporting.html.memory import MemorySummary
from wtal.reporting.tables import TableData, format_mean_std

STYLES = ("theme.css", "page.css")
SCRIPT = "page.js"
MAX_OPEN_CHARTS = 24  # class charts that are visible at first
SIMILAR_CLASSES = 3  # named beside each slot
LINE_CONTRAST = 3.0

TRAIT_VALUES: dict[str, Callable[[Group], float | None]] = {
    "missed": lambda group: group.miss_rate,
    "normalized mAP": lambda group: group.normalised_map,
}


@dataclass(frozen=True)
class Highlight:
    """A number in large type, and what it means."""

    value: str
    meaning: str


def write_report(out: Path, report: ReportData) -> None:
    """Write the page atomically. Raises DataError if it cannot be written, or a video cannot be read."""
    # A lone surrogate in a label cannot be encoded.
    write_text(out, render_page(report).encode(errors="replace").decode())


def is_report(path: Path) -> bool:
    """Whether a file was written by `write_report`, of this version or another."""
    with path.open("rb") as file:
        head = file.read(2000)
    return not head or b'<meta name="generator" content="wtal' in head


def render_page(report: ReportData) -> str:
    """The HTML of a report. Raises DataError if a video cannot be read."""
    videos, encoded, scores = zip(*_videos(report), strict=True)
    min_score, max_score = _score_range(np.concatenate(scores))
    index = {
        "classes": report.classes,
        "videos": videos,
        "colors": theme_colors(),
        "custom_colors": custom_theme_colors(report.colors),
        "score_range": (min_score, max_score),  # one opacity scale for all videos
        "similarity": _similarity(report.memory),
    }
    style = "".join(map(_read_static, STYLES)) + _class_rules(report)
    script = bundle(SCRIPT, _read_static)
    return (
        _environment()
        .get_template("page.html")
        .render(
            report=report,
            version=__version__,
            style=style,
            script=script,
            policy=_content_security_policy(style, script),
            index=index,
            encoded=encoded,
            scores=_score_sections(report.scores, report.classes) if report.scores else None,
            budget=_budget_section(report.budget, report.classes) if report.budget else None,
            training=training_charts(report.metrics),
            memory_rows=_memory_rows(report.memory) if report.memory else [],
        )
    )


def score_tables(scores: ReportScores) -> list[TableData]:
    """mAP of each method and external system, and of each seed of the first method if there are several."""
    first = next(iter(scores.results.values()))
    title = f"mAP (%) by tIoU, protocol {first[0].protocol}"
    over_seeds = ", mean ± standard deviation over the seeds" if len(first) > 1 else ""
    rows = {**scores.results, **{external_label(system): [system.result] for system in scores.external}}
    tables = [map_table(rows, title=title + over_seeds, bold=(0,) if len(rows) > 1 else ())]
    if len(first) > 1:
        tables.append(map_table({n: [r] for n, r in zip(_run_names(scores), first, strict=True)}, "run", title))
    return tables


def _run_names(scores: ReportScores) -> Sequence[str]:
    """Names of the first method's runs."""
    count = len(next(iter(scores.results.values())))
    return scores.seeds or [f"run {number}" for number in range(1, count + 1)]


def _highlights(scores: ReportScores) -> Iterator[Highlight]:
    seeds, result = next(iter(scores.results.values())), scores.evaluation.result
    over_seeds = f", {len(seeds)} seeds" if len(seeds) > 1 else ""
    averages = [100 * seed.average() for seed in seeds]
    yield Highlight(format_mean_std(averages), f"average mAP (%), tIoU {result.tiou_range}{over_seeds}")
    if any(between(result.tious, TIOU, TIOU)):
        values = [100 * seed.average(TIOU, TIOU) for seed in seeds]
        yield Highlight(format_mean_std(values), f"mAP (%) at tIoU {TIOU:g}{over_seeds}")
    correct, counts = int(scores.predictions.matches.hits.sum()), scores.predictions.result.counts
    run = f", {_run_names(scores)[0]}" if len(seeds) > 1 else ""
    yield Highlight(f"{correct:,} of {counts.instances:,}", f"annotated segments found at tIoU {TIOU:g}{run}")
    yield Highlight(f"{correct:,} of {counts.proposals:,}", f"predictions correct at tIoU {TIOU:g}{run}")


def _videos(report: ReportData) -> Iterator[tuple[dict[str, Any], str, NDArray[np.float64]]]:
    """For each video its entry in the list, its encoded timeline, and the scores of its proposals."""
    indices = {label: index for index, label in enumerate(report.classes)}
    for timeline in report.timelines:
        scores = np.array([proposal.score for proposal in timeline.proposals], np.float64)
        entry = _list_entry(timeline, indices, report.video_urls.get(timeline.title))
        yield entry, encode_timeline(timeline, report.classes), scores


def _score_range(scores: NDArray[np.float64]) -> tuple[float, float]:
    """The lowest and the highest score as finite numbers; 0 and 1 if there are none."""
    if not scores.size:
        return 0.0, 1.0
    finite = np.nan_to_num(scores).clip(-MAX_FLOAT32, MAX_FLOAT32)
    return float(finite.min()), float(finite.max())


def _list_entry(timeline: TimelineData, indices: Mapping[str, int], url: str | None) -> dict[str, Any]:
    labels = dict.fromkeys(segment.label for segment in [*timeline.ground_truth, *timeline.predictions])
    entry: dict[str, Any] = {
        "id": timeline.title,
        "end": round(axis_end(timeline), 3),
        "labels": [indices[label] for label in labels if label in indices],
    }
    return entry | ({"file": url} if url else {})


def _score_sections(scores: ReportScores, classes: Sequence[str]) -> dict[str, Any]:
    """The template's data of the sections that need scores."""
    colored = classes if len(classes) <= MAX_COLORED_CLASSES else ()
    indices = {label: index for index, label in enumerate(colored)}
    mean_chart, class_charts = precision_charts(scores.evaluation, TIOU, indices)
    return {
        "result": scores.evaluation.result,
        "highlights": list(_highlights(scores)),
        "notes": summary_lines(scores.evaluation.result) + (external_notes(scores.external) if scores.external else []),
        "main_run": _run_names(scores)[0],
        "tables": score_tables(scores),
        "external": external_table(scores.external) if scores.external else None,
        "class_table": class_table(next(iter(scores.results.values()))),
        "precision": [mean_chart, *class_charts[:MAX_OPEN_CHARTS]],
        "more_precision": class_charts[MAX_OPEN_CHARTS:],
        "errors": _error_section(scores.analysis),
    }


def _budget_section(summary: BudgetSummary, classes: Sequence[str]) -> dict[str, Any]:
    """The template's data of the time budgets; bars are lengths from 0 to 100."""
    colored = classes if len(classes) <= MAX_COLORED_CLASSES else ()
    indices = {label: index for index, label in enumerate(colored)}
    sides = summary.budgets
    table = budget_table(sides)
    shares = [
        [(name, side.overall[label].share or 0.0 if label in side.overall else 0.0) for name, side in sides.items()]
        for label, *_ in table.rows
    ]
    largest = max((share for row in shares for _, share in row), default=0.0)
    bars = [[(name, 100 * share / largest) for name, share in row] for row in shares] if largest else []
    kappas = {id: agreement.overall.kappa for id, agreement in summary.by_video.items()}
    by_kappa = sorted(kappas.items(), key=lambda item: (item[1] is None, item[1] or 0.0))  # undefined ones last
    return {
        "table": table,
        "colors": [indices.get(row[0], -1) for row in table.rows],
        "bars": bars,
        "largest": format_percent(largest),
        "names": list(sides),
        "agreement": agreement_table(summary.agreement) if summary.agreement else None,
        "agreement_notes": agreement_notes(summary.agreement.options) if summary.agreement else [],
        "remarks": budget_remarks(sides),
        "videos": video_budget_table(sides),
        "agreement_by_video": video_agreement_table({id: summary.by_video[id] for id, _ in by_kappa})
        if len(by_kappa) > 1
        else None,
    }


def _error_section(analysis: Analysis) -> dict[str, Any]:
    counted = max(1, analysis.counted)
    shares = [
        {"kind": kind, "width": 100 * count / counted, "text": format_percent(count / counted)}
        for kind, count in analysis.kinds.items()
    ]
    largest = max(*(gain.average for gain in analysis.gains.values()), 0.001)
    gains = [
        {"kind": kind, "width": 100 * max(0, gain.average) / largest, "text": format_percent(gain.average, sign=True)}
        for kind, gain in analysis.gains.items()
    ]
    traits = [
        {
            "trait": trait,
            "value": name,
            "groups": [(group.size, value_of(group)) for group in trait.groups],
            "empty_reason": empty_trait_reason(trait),
        }
        for name, value_of in TRAIT_VALUES.items()
        for trait in analysis.traits
    ]
    return {
        "caption": analysis_caption(analysis).splitlines(),
        "missed": missed_summary(analysis),
        "tiou_range": analysis.result.tiou_range,
        "shares": shares,
        "gains": gains,
        "traits": traits,
        "kinds": kind_table(analysis),
        "tables": trait_tables(analysis),
        "notes": analysis.notes,
    }


def _similarity(memory: MemorySummary | None) -> dict[str, Any] | None:
    """The cosines between the classes, one byte each: 0 is -1, 254 is 1."""
    if memory is None:
        return None
    cosines = np.rint(127 * (np.clip(memory.similarity, -1, 1) + 1)).astype("u1")
    return {"names": memory.classes, "cosines": b64encode(cosines.tobytes()).decode("ascii")}


def _memory_rows(memory: MemorySummary) -> list[dict[str, Any]]:
    """The rows of the memory's table."""
    rows = []
    for index, row in enumerate(memory.rows):
        others = [other for other in np.argsort(-memory.similarity[index]).tolist() if other != index]
        similar = (f"{memory.classes[i]} {memory.similarity[index, i]:z.2f}" for i in others[:SIMILAR_CLASSES])
        rows.append(
            {
                "label": row.label,
                "entries": f"{row.entries:,}",
                "videos": f"{row.videos:,}",
                "similar": ", ".join(similar),
                "typical": row.typical,
            }
        )
    return rows


def _content_security_policy(style: str, script: str) -> str:
    """Allow this style, this script, and video files beside the page."""
    style_hash, script_hash = (
        b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in (style, script)
    )
    return (
        f"default-src 'none'; script-src 'sha256-{script_hash}'; style-src 'sha256-{style_hash}'; "
        "img-src data:; media-src 'self' file:; base-uri 'none'; form-action 'none'"
    )


def _class_rules(report: ReportData) -> str:
    """CSS rules: `.cN` has the color of the class with index N."""
    colors = dict(enumerate(zip(PALETTE, DARK_PALETTE, strict=True)))
    custom = custom_theme_colors(report.colors)
    for index, label in enumerate(report.classes):
        if label in custom:
            colors[index] = custom[label]["fill"], custom[label]["dark_fill"]
    light = "".join(
        f".c{index}{{--fill:{fill};--line:{darken(fill, LINE_CONTRAST)}}}\n" for index, (fill, _) in colors.items()
    )
    dark = "".join(f".c{index}{{--fill:{fill};--line:{lighten(fill)}}}\n" for index, (_, fill) in colors.items())
    return f"{light}@media screen and (prefers-color-scheme:dark){{\n{dark}}}\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_read_static),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["time"] = lambda seconds: format_time(seconds, 0.1)
    return environment


def _read_static(name: str) -> str:
    return (files("wtal.reporting.html") / "static" / name).read_text(encoding="utf-8")
