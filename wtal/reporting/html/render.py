"""The report as one HTML page that opens from disk: nothing from the network, no word of a user's obeyed."""

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
from wtal.evaluation.error_analysis import Analysis
from wtal.evaluation.results import EvaluationResult, between, summary_lines
from wtal.evaluation.sensitivity import Group
from wtal.inference.calibration import TIOU
from wtal.reporting.error_tables import analysis_caption, kind_sheet, span, trait_sheets, what_is_missed, why_empty
from wtal.reporting.figures.colors import COLOURED, PALETTE, ink, lit
from wtal.reporting.figures.layout import TimelineData, clock_time, end_of_axis
from wtal.reporting.html.charts import precision_charts, training_charts
from wtal.reporting.html.collect import ReportData, Scored
from wtal.reporting.html.encoding import FURTHEST, pack
from wtal.reporting.html.memory import Memory
from wtal.reporting.tables import TableData, mean_and_spread

STYLES = ("look.css", "page.css")
SCRIPTS = ("paint.js", "draw.js", "hands.js", "lanes.js", "page.js")
FIRST = 24  # charts of classes that are shown at once
ALIKE = 3  # classes named beside each slot


@dataclass(frozen=True)
class Figure:
    """A number that stands large, with what it means."""

    value: str
    meaning: str


def write_report(out: Path, report: ReportData) -> None:
    """Write the page, whole or not at all. Raises DataError where it cannot be, or a video cannot be read."""
    # A lone half of a UTF-16 pair in a label is no text that a file could hold.
    write_text(out, render_page(report).encode(errors="replace").decode())


def render_page(report: ReportData) -> str:
    """The whole page as text."""
    videos, packed, scores = zip(*_videos(report), strict=True)
    weakest, surest = _ends(np.concatenate(scores))
    index = {
        "classes": report.classes,
        "videos": videos,
        "fills": PALETTE,
        "light": [ink(colour) for colour in PALETTE],
        "dark": [lit(colour) for colour in PALETTE],
        "weakest": weakest,  # one scale of opacity for all videos
        "surest": surest,
        "alike": _alike(report.memory),
    }
    slots = _slots(report.memory) if report.memory else []
    style, script = "".join(map(_own, STYLES)) + _class_colours(), "".join(map(_own, SCRIPTS))
    return (
        _environment()
        .get_template("page.html")
        .render(
            report=report,
            version=__version__,
            style=style,
            script=script,
            policy=_policy(style, script),
            index=index,
            packed=packed,
            scores=_scores(report.scored, report.classes) if report.scored else None,
            training=training_charts(report.metrics),
            slots=slots,
            counts_writes=not slots or any(slot["written"] for slot in slots),
        )
    )


def score_sheets(scored: Scored) -> list[TableData]:
    """mAP of each method at each tIoU and on average, mean and spread over seeds; then each seed of the first."""
    first = next(iter(scored.results.values()))
    runs = {name: [one] for name, one in zip(_runs(scored), first, strict=True)}
    return [_score_sheet("method", scored.results), *([_score_sheet("run", runs)] if len(first) > 1 else [])]


def _runs(scored: Scored) -> Sequence[str]:
    """What the seeds of the first method are called."""
    count = len(next(iter(scored.results.values())))
    return scored.seeds or [f"run {number}" for number in range(1, count + 1)]


def class_sheet(results: Sequence[EvaluationResult]) -> TableData:
    """A row a class: its instances, and its average precision at each tIoU and on average, mean over the seeds."""
    first = results[0]
    rows = []
    for label, count in first.instances_per_class.items():
        scores = 100 * np.array([result.per_class[label] for result in results])  # seeds x tIoUs
        cells = [f"{score:.1f}" for score in scores.mean(0)]
        rows.append((label, f"{count:,}", *cells, mean_and_spread(scores.mean(1).tolist())))
    return TableData(("class", "instances", *(f"{t:g}" for t in first.tious), "mean"), tuple(rows))


def _score_sheet(name: str, results: Mapping[str, Sequence[EvaluationResult]]) -> TableData:
    first = next(iter(results.values()))[0]
    rows = []
    for method, seeds in results.items():
        maps = [[100 * result.map[place] for result in seeds] for place in range(len(first.tious))]
        averages = [[100 * result.average(*limits) for result in seeds] for limits in first.averages]
        rows.append((method, *(mean_and_spread(values) for values in [*maps, *averages])))
    heads = (*(f"{t:g}" for t in first.tious), *(f"{low:g}-{high:g}" for low, high in first.averages))
    return TableData((name, *heads), tuple(rows), (0,) if len(rows) > 1 and name == "method" else ())


def _figures(scored: Scored) -> Iterator[Figure]:
    """The few numbers that stand above all others."""
    seeds, result = next(iter(scored.results.values())), scored.judged.result
    over = f", {len(seeds)} seeds" if len(seeds) > 1 else ""
    averages = [100 * one.average() for one in seeds]
    yield Figure(mean_and_spread(averages), f"average mAP (%), tIoU {result.tious[0]:g}-{result.tious[-1]:g}{over}")
    if any(between(result.tious, TIOU, TIOU)):
        values = [100 * one.average(TIOU, TIOU) for one in seeds]
        yield Figure(mean_and_spread(values), f"mAP (%) at tIoU {TIOU:g}{over}")
    right, counts = int(scored.shown.matches.hits.sum()), scored.shown.result.counts
    one = f", {_runs(scored)[0]}" if len(seeds) > 1 else ""
    yield Figure(f"{right:,} of {counts.instances:,}", f"marked actions are in the result, tIoU {TIOU:g}{one}")
    yield Figure(f"{right:,} of {counts.proposals:,}", f"segments of the result are right{one}")


def _videos(report: ReportData) -> Iterator[tuple[dict[str, Any], str, NDArray[np.float64]]]:
    """What the list of videos tells of each, its packed timeline, and its proposals' scores."""
    places = {label: place for place, label in enumerate(report.classes)}
    for panel in report.panels:
        scores = np.array([proposal.score for proposal in panel.proposals], np.float64)
        yield _listed(panel, places, report.files.get(panel.title)), pack(panel, report.classes), scores


def _ends(scores: NDArray[np.float64]) -> tuple[float, float]:
    """The least and the highest, as numbers that JSON can hold; 0 and 1 where there are none."""
    if not scores.size:
        return 0.0, 1.0
    finite = np.nan_to_num(scores).clip(-FURTHEST, FURTHEST)
    return float(finite.min()), float(finite.max())


def _listed(panel: TimelineData, places: dict[str, int], file: str | None) -> dict[str, Any]:
    labels = dict.fromkeys([*(a.label for a in panel.truth), *(p.label for p in panel.result)])
    told: dict[str, Any] = {"id": panel.title, "end": round(end_of_axis(panel), 3)}
    told["labels"] = [places[label] for label in labels if label in places]
    return told | ({"file": file} if file else {})


def _scores(scored: Scored, classes: Sequence[str]) -> dict[str, Any]:
    """What the template draws where there are scores."""
    # Beyond ten classes colour could not tell them apart; each chart has its name.
    coloured = classes if len(classes) <= COLOURED else ()
    whole, each = precision_charts(scored.judged, TIOU, {label: place for place, label in enumerate(coloured)})
    return {
        "result": scored.judged.result,
        "figures": list(_figures(scored)),
        "remarks": summary_lines(scored.judged.result),
        "first": _runs(scored)[0],
        "sheets": score_sheets(scored),
        "classes": class_sheet(next(iter(scored.results.values()))),
        "precision": [whole, *each[:FIRST]],
        "more": each[FIRST:],
        "errors": _errors(scored.analysis),
    }


TRAIT_FIGURES: dict[str, Callable[[Group], float | None]] = {
    "missed": lambda group: group.miss_rate,
    "normalised mAP": lambda group: group.normalised_map,
}


def _errors(analysis: Analysis) -> dict[str, Any]:
    """The error analysis as the template draws it."""
    total = max(1, analysis.counted)
    shares = [{"kind": kind, "width": 100 * count / total} for kind, count in analysis.kinds.items()]
    most = max(*(gain.average for gain in analysis.gains.values()), 0.001)
    gains = [
        {"kind": kind, "width": 100 * max(0, gain.average) / most, "text": f"{100 * gain.average:+.1f}"}
        for kind, gain in analysis.gains.items()
    ]
    traits = [
        {
            "of": trait,
            "figure": name,
            "groups": [(g.size, told(g)) for g in trait.groups],
            "why_empty": why_empty(trait),
        }
        for name, told in TRAIT_FIGURES.items()
        for trait in analysis.traits
    ]
    return {
        "counts": analysis_caption(analysis).splitlines(),
        "missed": what_is_missed(analysis),
        "span": span(analysis),
        "shares": shares,
        "gains": gains,
        "traits": traits,
        "kinds": kind_sheet(analysis),
        "sheets": trait_sheets(analysis),
        "notes": analysis.notes,
    }


def _alike(memory: Memory | None) -> dict[str, Any] | None:
    """The memory's cosines in a byte each, for the page: 0 is -1, 254 is 1."""
    if memory is None:
        return None
    cosines = np.rint(127 * (np.clip(memory.alike, -1, 1) + 1)).astype("u1")
    return {"names": memory.classes, "cosines": b64encode(cosines.tobytes()).decode("ascii")}


def _slots(memory: Memory) -> list[dict[str, Any]]:
    """A row a slot: its class, how often written, the classes nearest to its own, and its moments."""
    rows = []
    for slot in memory.slots:
        own = memory.classes.index(slot.label)
        order = [place for place in np.argsort(-memory.alike[own]).tolist() if place != own][:ALIKE]
        near = ", ".join(f"{memory.classes[place]} {memory.alike[own, place]:.2f}" for place in order)
        written = "" if slot.written is None else f"{slot.written:,}"
        rows.append(
            {"label": slot.label, "number": slot.number, "written": written, "near": near, "moments": slot.moments}
        )
    return rows


def _policy(style: str, script: str) -> str:
    """What the browser may load and run: this style, this script, and video files beside the page."""
    style_hash, script_hash = (
        b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in (style, script)
    )
    return (
        f"default-src 'none'; script-src 'sha256-{script_hash}'; style-src 'sha256-{style_hash}'; "
        "img-src data:; media-src 'self' file:; base-uri 'none'; form-action 'none'"
    )


def _class_colours() -> str:
    """Style sheet rules: `cN` has the colour of the class at N."""
    named = {f"c{place}": colour for place, colour in enumerate(PALETTE)}
    light = "".join(f".{name}{{--fill:{colour};--line:{ink(colour, 3.0)}}}\n" for name, colour in named.items())
    dark = "".join(f".{name}{{--line:{lit(colour)}}}\n" for name, colour in named.items())
    return f"{light}@media screen and (prefers-color-scheme:dark){{\n{dark}}}\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_own),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = lambda seconds: clock_time(seconds, 0.1)
    return environment


def _own(name: str) -> str:
    """A file of the page, as it lies beside this module."""
    return (files("wtal.reporting.html") / "static" / name).read_text(encoding="utf-8")
