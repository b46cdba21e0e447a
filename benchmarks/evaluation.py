"""Time to score proposals and to localize segments from class scores.

The 31,587 proposals of a published system on THUMOS14 are scored, segments are localized in its 212 testing videos, and
as many proposals as ActivityNet 1.3 has are scored.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.measure import elapsed, median_seconds, shared_path
from wtal.core.clock import SnippetClock
from wtal.core.config import LocalizeConfig
from wtal.core.structures import Proposals, Segment, Video
from wtal.core.text import markdown_table
from wtal.data.ground_truth import find_ambiguous, read_ground_truth
from wtal.data.layouts.activitynet import read_proposals
from wtal.evaluation.evaluate import evaluate
from wtal.evaluation.protocols import EvaluationOptions
from wtal.inference.proposals import SnippetScores, generate_proposals

ACTIVITYNET_VIDEOS, PROPOSALS_PER_VIDEO = 19_228, 100
CLOCK, SETTINGS = SnippetClock(16 / 25), LocalizeConfig()
FEATURE_WIDTH = 2048  # of I3D with optical flow
PROTOCOLS = ("thumos14-210", "thumos14-212", "thumos14-snippet", "wtalc")


def measure() -> list[str]:
    """The lines of the section."""
    folder = shared_path("thumos14")
    paths = folder / "pmil_base_test.json", folder / "acmnet_gt.json", folder / "Thumos14reduced-Annotations"
    reading = elapsed(lambda: (read_proposals(paths[0]), read_ground_truth(paths[1]), find_ambiguous(paths[2])))
    proposals, truth, ambiguous = read_proposals(paths[0]), read_ground_truth(paths[1]), find_ambiguous(paths[2])
    rows = []
    for name in PROTOCOLS:
        options = EvaluationOptions(name, ambiguous=ambiguous)
        result = evaluate(proposals, truth, options)
        seconds = median_seconds(lambda options=options: evaluate(proposals, truth, options))
        rows.append((name, *(f"{100 * value:.2f}" for value in [*result.map, result.average()]), f"{seconds:.3f}"))
    header = ("protocol", *(f"{tiou:g}" for tiou in result.tious), f"avg {result.tiou_range}", "s")
    scores, classes = read_scores(), class_names(truth)
    seconds, localized = measure_localization(scores, classes)
    keeping = median_seconds(lambda: [generate_proposals(video, classes, CLOCK, SETTINGS) for video in scores.values()])
    refining = _measure_refinement(scores, classes)
    snippets, count = sum(len(video.attention) for video in scores.values()), sum(map(len, localized.values()))
    return [
        f"Reading proposals and ground truth: {reading:.2f} s.",
        "",
        *markdown_table(header, rows),
        "",
        f"Localization of {len(scores)} videos, {snippets:,} snippets, {count:,} proposals: {seconds:.2f} s if each "
        f"video's proposals are dropped after use, {keeping:.2f} s if all are kept (cost of the garbage collector).",
        "",
        f"With boundaries refined on {FEATURE_WIDTH:,} random features: {refining:.2f} s.",
        "",
        f"Evaluation at the size of ActivityNet 1.3, {ACTIVITYNET_VIDEOS:,} videos with {PROPOSALS_PER_VIDEO} "
        f"proposals, ten tIoU thresholds: {_measure_activitynet():.1f} s.",
    ]


def read_scores() -> dict[str, SnippetScores]:
    """Snippet scores of THUMOS14's testing videos, made from the ground truth and noise, by video id."""
    with np.load(shared_path("bench", "canned_cas.npz")) as arrays:
        ids = [name.removesuffix("/cas") for name in arrays.files if name.endswith("/cas")]
        return {id: _to_scores(arrays[f"{id}/cas"], arrays[f"{id}/attn"]) for id in ids}


def class_names(truth: Sequence[Video]) -> list[str]:
    """The classes in the order of the columns of `read_scores`."""
    return sorted({label for video in truth for label in video.labels})


def measure_localization(scores: Mapping[str, SnippetScores], classes: Sequence[str]) -> tuple[float, Proposals]:
    """Median seconds from snippet scores to proposals, and the proposals."""

    def localize() -> int:
        return sum(len(generate_proposals(video, classes, CLOCK, SETTINGS)) for video in scores.values())

    seconds = median_seconds(localize)
    return seconds, {id: generate_proposals(video, classes, CLOCK, SETTINGS) for id, video in scores.items()}


def _measure_refinement(scores: Mapping[str, SnippetScores], classes: Sequence[str]) -> float:
    """Median seconds from snippet scores to proposals with refined boundaries."""
    rng = np.random.default_rng(0)
    features = {id: rng.random((len(video.attention), FEATURE_WIDTH), np.float32) for id, video in scores.items()}

    def localize() -> int:
        return sum(len(generate_proposals(v, classes, CLOCK, SETTINGS, features[id])) for id, v in scores.items())

    return median_seconds(localize)


def _measure_activitynet() -> float:
    """Seconds to score random proposals of 200 classes in as many videos as ActivityNet 1.3 has."""
    rng = np.random.default_rng(0)
    labels = [f"class {index}" for index in range(200)]
    truth, proposals = [], {}
    for index in range(ACTIVITYNET_VIDEOS):
        label = labels[index % len(labels)]
        segments = tuple(Segment(label, float(start), float(start) + 20) for start in rng.uniform(0, 100, 2))
        truth.append(Video(f"v{index}", "validation", (label,), 130.0, segments))
        shape = PROPOSALS_PER_VIDEO
        start, length, score = rng.uniform(0, 100, shape), rng.uniform(1, 40, shape), rng.random(shape)
        columns = zip(start.tolist(), (start + length).tolist(), score.tolist(), strict=True)
        proposals[f"v{index}"] = [Segment(label, *column) for column in columns]
    options = EvaluationOptions("activitynet", subset="validation")
    return elapsed(lambda: evaluate(proposals, truth, options))


def _to_scores(logits: np.ndarray, attention: np.ndarray) -> SnippetScores:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    cas = weights / weights.sum(1, keepdims=True)
    video_scores = np.sort(cas[:, :-1], 0)[-max(1, len(cas) // 8) :].mean(0)
    return SnippetScores(attention[:, 0], cas, video_scores)
