"""Scoring a real system's 31,587 proposals, and localizing 212 videos from given scores."""

import time

import numpy as np

from benchmarks.measure import SHARED, seconds
from wtal.config import LocalizeConfig
from wtal.evaluate import evaluate
from wtal.formats.results import read_results
from wtal.formats.truth import find_ambiguous, read_truth
from wtal.localize import SnippetScores, localize
from wtal.timeline import SnippetClock

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
    return [*lines, "", _localization()]


def _localization() -> str:
    with np.load(SHARED / "bench" / "canned_cas.npz") as arrays:
        canned = [
            _scores(arrays[name], arrays[name.replace("/cas", "/attn")])
            for name in arrays.files
            if name.endswith("/cas")
        ]
    classes = [str(c) for c in range(canned[0].cas.shape[1] - 1)]
    clock, settings = SnippetClock(16 / 25), LocalizeConfig()
    took = seconds(lambda: [localize(scores, classes, clock, settings) for scores in canned], times=3)
    count = sum(len(localize(scores, classes, clock, settings)) for scores in canned)
    snippets = sum(len(scores.attention) for scores in canned)
    return f"Localization of {len(canned)} videos, {snippets:,} snippets, {count:,} proposals: {took:.2f} s."


def _scores(logits: np.ndarray, attention: np.ndarray) -> SnippetScores:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    cas = weights / weights.sum(1, keepdims=True)
    strongest = np.sort(cas[:, :-1], 0)[-max(1, len(cas) // 8) :].mean(0)
    return SnippetScores(attention[:, 0], cas, strongest)
