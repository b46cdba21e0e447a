"""Scoring a real system's 31,587 proposals, and localizing 212 videos from given scores."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.measure import SHARED, seconds
from wtal.core.clock import SnippetClock
from wtal.core.config import LocalizeConfig
from wtal.core.structures import Proposals, Segment, Video
from wtal.data.ground_truth import find_ambiguous, read_ground_truth
from wtal.data.layouts.activitynet import read_proposals
from wtal.evaluation.evaluate import evaluate
from wtal.evaluation.protocols import EvaluationOptions
from wtal.inference.proposals import SnippetScores, generate_proposals

VIDEOS, EACH = 19_228, 100
CLOCK, SETTINGS = SnippetClock(16 / 25), LocalizeConfig()
PROTOCOLS = ("thumos14-210", "thumos14-212", "thumos14-snippet", "wtalc")


def rows() -> list[str]:
    """Lines of Markdown; says so where the shared data are absent."""
    folder = SHARED / "thumos14"
    if not folder.is_dir():
        return ["not measured: the THUMOS14 annotations are not beside the project"]
    bundle = folder / "Thumos14reduced-Annotations"
    start = time.perf_counter()
    proposals, truth = read_proposals(folder / "pmil_base_test.json"), read_ground_truth(folder / "acmnet_gt.json")
    ambiguous = find_ambiguous(bundle)
    reading = time.perf_counter() - start
    lines = [
        f"Reading proposals and truth: {reading:.2f} s.",
        "",
        "| protocol | .1 | .2 | .3 | .4 | .5 | .6 | .7 | average | s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in PROTOCOLS:
        result = evaluate(proposals, truth, EvaluationOptions(name, ambiguous=ambiguous))
        took = seconds(lambda name=name: evaluate(proposals, truth, EvaluationOptions(name, ambiguous=ambiguous)))
        values = " | ".join(f"{100 * value:.2f}" for value in result.map)
        lines.append(f"| {name} | {values} | {100 * result.average():.2f} | {took:.3f} |")
    canned = read_canned()
    classes = class_names(truth)
    took, found = localization(canned, classes)
    keeping = seconds(lambda: [generate_proposals(scores, classes, CLOCK, SETTINGS) for scores in canned.values()])
    snippets, count = sum(len(scores.attention) for scores in canned.values()), sum(map(len, found.values()))
    return [
        *lines,
        "",
        f"Localization of {len(canned)} videos, {snippets:,} snippets, {count:,} proposals: {took:.2f} s, each "
        f"video's handed on; {keeping:.2f} s where all are kept, and the garbage collector looks through them.",
        "",
        f"ActivityNet's size, {VIDEOS:,} videos of {EACH} proposals, ten tIoU thresholds: {_activitynet():.1f} s.",
    ]


def read_canned() -> dict[str, SnippetScores]:
    """Scores of THUMOS14's testing videos, made from the truth and noise, by id."""
    with np.load(SHARED / "bench" / "canned_cas.npz") as arrays:
        ids = [name.removesuffix("/cas") for name in arrays.files if name.endswith("/cas")]
        return {id: _scores(arrays[f"{id}/cas"], arrays[f"{id}/attn"]) for id in ids}


def class_names(truth: Sequence[Video]) -> list[str]:
    """In the order of the canned scores' columns."""
    return sorted({label for video in truth for label in video.labels})


def localization(canned: Mapping[str, SnippetScores], classes: Sequence[str]) -> tuple[float, Proposals]:
    """Median seconds from given scores to proposals, and the proposals."""
    took = seconds(lambda: sum(len(generate_proposals(scores, classes, CLOCK, SETTINGS)) for scores in canned.values()))
    return took, {id: generate_proposals(scores, classes, CLOCK, SETTINGS) for id, scores in canned.items()}


def _activitynet() -> float:
    """Seconds to score random proposals over as many videos as ActivityNet 1.3 has, 200 classes."""
    rng = np.random.default_rng(0)
    names = [f"class {c}" for c in range(200)]
    truth, proposals = [], {}
    for v in range(VIDEOS):
        label = names[v % len(names)]
        starts = rng.uniform(0, 100, 2)
        actions = tuple(Segment(label, float(s), float(s) + 20) for s in starts)
        truth.append(Video(f"v{v}", "validation", (label,), 130.0, actions))
        start, length, score = rng.uniform(0, 100, EACH), rng.uniform(1, 40, EACH), rng.random(EACH)
        rows = zip(start.tolist(), (start + length).tolist(), score.tolist(), strict=True)
        proposals[f"v{v}"] = [Segment(label, *row) for row in rows]
    began = time.perf_counter()
    evaluate(proposals, truth, EvaluationOptions(subset="validation"))
    return time.perf_counter() - began


def _scores(logits: np.ndarray, attention: np.ndarray) -> SnippetScores:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    cas = weights / weights.sum(1, keepdims=True)
    strongest = np.sort(cas[:, :-1], 0)[-max(1, len(cas) // 8) :].mean(0)
    return SnippetScores(attention[:, 0], cas, strongest)
