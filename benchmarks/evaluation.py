"""Scoring a real system's 31,587 proposals, and localizing 212 videos from given scores."""

import time

import numpy as np

from benchmarks.measure import SHARED, seconds
from wtal.config import LocalizeConfig
from wtal.evaluate import evaluate
from wtal.formats.results import read_results
from wtal.formats.truth import find_ambiguous, read_truth
from wtal.localize import SnippetScores, localize
from wtal.records import Action, Proposal, Video
from wtal.timeline import SnippetClock

VIDEOS, EACH = 19_228, 100
PROTOCOLS = ("thumos14-210", "thumos14-212", "thumos14-snippet", "wtalc")


def rows() -> list[str]:
    """Lines of Markdown; says so where the shared data are absent."""
    folder = SHARED / "thumos14"
    if not folder.is_dir():
        return ["not measured: the THUMOS14 annotations are not beside the project"]
    bundle = folder / "Thumos14reduced-Annotations"
    start = time.perf_counter()
    proposals, truth = read_results(folder / "pmil_base_test.json"), read_truth(folder / "acmnet_gt.json")
    ambiguous = find_ambiguous(bundle)
    reading = time.perf_counter() - start
    lines = [
        f"Reading proposals and truth: {reading:.2f} s.",
        "",
        "| protocol | .1 | .2 | .3 | .4 | .5 | .6 | .7 | average | s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in PROTOCOLS:
        result = evaluate(proposals, truth, name, ambiguous=ambiguous)
        took = seconds(lambda name=name: evaluate(proposals, truth, name, ambiguous=ambiguous))
        values = " | ".join(f"{100 * value:.2f}" for value in result.map)
        lines.append(f"| {name} | {values} | {100 * result.average():.2f} | {took:.3f} |")
    took, keeping, videos, snippets, count = localization()
    return [
        *lines,
        "",
        f"Localization of {videos} videos, {snippets:,} snippets, {count:,} proposals: {took:.2f} s, each video's "
        f"proposals handed on; {keeping:.2f} s where all are kept, and the garbage collector looks through them.",
        "",
        f"ActivityNet's size, {VIDEOS:,} videos of {EACH} proposals, ten tIoU thresholds: {_activitynet():.1f} s.",
    ]


def localization() -> tuple[float, float, int, int, int]:
    """Median seconds from given scores to proposals, dropped or kept; how many videos, snippets, proposals."""
    with np.load(SHARED / "bench" / "canned_cas.npz") as arrays:
        canned = [
            _scores(arrays[name], arrays[name.replace("/cas", "/attn")])
            for name in arrays.files
            if name.endswith("/cas")
        ]
    classes = [str(c) for c in range(canned[0].cas.shape[1] - 1)]
    clock, settings = SnippetClock(16 / 25), LocalizeConfig()
    keeping = seconds(lambda: [localize(scores, classes, clock, settings) for scores in canned])
    took = seconds(lambda: sum(len(localize(scores, classes, clock, settings)) for scores in canned))
    count = sum(len(localize(scores, classes, clock, settings)) for scores in canned)
    return took, keeping, len(canned), sum(len(scores.attention) for scores in canned), count


def _activitynet() -> float:
    """Seconds to score random proposals over as many videos as ActivityNet 1.3 has, 200 classes."""
    rng = np.random.default_rng(0)
    names = [f"class {c}" for c in range(200)]
    truth, proposals = [], {}
    for v in range(VIDEOS):
        label = names[v % len(names)]
        starts = rng.uniform(0, 100, 2)
        actions = tuple(Action(label, float(s), float(s) + 20) for s in starts)
        truth.append(Video(f"v{v}", "validation", (label,), 130.0, actions))
        start, length, score = rng.uniform(0, 100, EACH), rng.uniform(1, 40, EACH), rng.random(EACH)
        rows = zip(start.tolist(), (start + length).tolist(), score.tolist(), strict=True)
        proposals[f"v{v}"] = [Proposal(label, *row) for row in rows]
    began = time.perf_counter()
    evaluate(proposals, truth, "activitynet", subset="validation")
    return time.perf_counter() - began


def _scores(logits: np.ndarray, attention: np.ndarray) -> SnippetScores:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    cas = weights / weights.sum(1, keepdims=True)
    strongest = np.sort(cas[:, :-1], 0)[-max(1, len(cas) // 8) :].mean(0)
    return SnippetScores(attention[:, 0], cas, strongest)
