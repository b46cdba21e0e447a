"""Mean average precision of proposals under a named protocol.

For each class, the proposals of all videos are sorted by descending score. Each is matched with a free ground-truth
segment of its video that it overlaps enough; otherwise it is a false positive. mAP is the mean over the classes of the
average precision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wtal.core.arrays import Bools
from wtal.core.errors import DataError
from wtal.core.structures import SUBSETS, Proposals, Segment, Video
from wtal.core.text import format_list
from wtal.evaluation.average_precision import average_precision
from wtal.evaluation.matching import Intervals, MatchedProposals, match_proposals, sort_by_score
from wtal.evaluation.protocols import DEFAULT_OPTIONS, PROTOCOLS, AmbiguousIntervals, EvaluationOptions, Protocol
from wtal.evaluation.results import EvaluationCounts, EvaluationResult, comparison_notes, quote_subset, subset_notes

# Index of a video that is not scored: unknown or excluded by the protocol, or of another subset.
NOT_SCORED, OTHER_SUBSET = -1, -2

MAX_MAGNITUDE = 1e100  # of a time or a score; sums and products of such numbers are finite
MAX_EXAMPLES = 3  # ids in an error message


@dataclass(frozen=True)
class EvaluationWithMatches:
    """The result of an evaluation, and the matches from which it was computed."""

    result: EvaluationResult
    matches: MatchedProposals


@dataclass(frozen=True)
class ScoringInputs:
    """What a protocol scores.

    Attributes:
        subset: The scored subset.
        videos: Its videos, without those that the protocol excludes.
        classes: Labels of their ground truth, sorted.
        ground_truth: Their segments, in file order.
        proposals: The scored proposals, by class and descending score.
        counts: Number of scored and excluded videos, segments and proposals.
        num_renamed: Number of videos whose ids differ by a leading `v_`.
    """

    subset: str
    videos: list[Video]
    classes: list[str]
    ground_truth: Intervals
    proposals: Intervals
    counts: EvaluationCounts
    num_renamed: int


def evaluate(
    proposals: Proposals, ground_truth: Sequence[Video], options: EvaluationOptions = DEFAULT_OPTIONS
) -> EvaluationResult:
    """Compute the mean average precision of proposals on one subset of the ground truth.

    Proposals of equal score keep their order.

    Args:
        proposals: Segments with scores by video id; times in seconds.
        ground_truth: Annotated videos.
        options: Protocol, thresholds, subset and ambiguous intervals.

    Returns:
        mAP, average precision of each class, counts and notes.

    Raises:
        DataError: The subset has no annotated segments, or a time or score is not finite.

    Source: the public evaluators of ActivityNet (seconds), CO2-Net (snippets) and W-TALC.
    """
    return evaluate_with_matches(proposals, ground_truth, options).result


def evaluate_with_matches(
    proposals: Proposals, ground_truth: Sequence[Video], options: EvaluationOptions = DEFAULT_OPTIONS
) -> EvaluationWithMatches:
    """As `evaluate`, with the matches. A match does not depend on which other videos are counted."""
    protocol, thresholds = options.rules, options.thresholds
    inputs = prepare_scoring(proposals, ground_truth, options)
    matches = match_proposals(
        inputs.proposals, inputs.ground_truth, protocol, thresholds, len(inputs.classes), len(inputs.videos)
    )
    instances = matches.instances.sum(1)
    per_class = {
        label: tuple(average_precision(matches.hits[:, rows], count, protocol.interpolated).tolist())
        for label, rows, count in zip(inputs.classes, matches.class_slices, instances, strict=True)
    }
    result = EvaluationResult(
        protocol=protocol.name,
        subset=inputs.subset,
        tious=thresholds,
        map=tuple(np.mean(list(per_class.values()), axis=0).tolist()),
        averages=options.averages,
        per_class=per_class,
        instances_per_class=dict(zip(inputs.classes, instances.tolist(), strict=True)),
        counts=inputs.counts,
        notes=tuple(_notes(inputs, ground_truth, options)),
        checkpoint=options.checkpoint,
    )
    return EvaluationWithMatches(result, matches)


def prepare_scoring(
    proposals: Proposals, ground_truth: Sequence[Video], options: EvaluationOptions = DEFAULT_OPTIONS
) -> ScoringInputs:
    """Select what a protocol scores, in the protocol's unit; arguments and errors as in `evaluate`."""
    protocol = options.rules
    subset = _choose_subset(ground_truth, protocol, options.subset)
    subset_videos, videos = _split_videos(ground_truth, protocol, subset)
    classes = _labels(videos)
    if not classes:
        raise DataError(
            f"{protocol.name} excludes every video that has segments", hint="use another protocol", code="no-segments"
        )
    by_id, num_renamed = _match_ids(proposals, ground_truth)
    video_index = {video.id: OTHER_SUBSET for video in ground_truth}
    video_index |= {video.id: NOT_SCORED for video in subset_videos}
    video_index |= {video.id: index for index, video in enumerate(videos)}
    segments = _to_columns({video.id: video.segments for video in videos}, video_index, classes)
    segments = replace(
        segments,
        start=protocol.ground_truth_times(segments.start),
        end=protocol.ground_truth_times(segments.end),
    )
    rows = _to_columns(by_id, video_index, classes)
    other_subset = rows.video == OTHER_SUBSET
    other_label = ~other_subset & (rows.label < 0)
    ambiguous = ~other_label & _overlaps_ambiguous(rows, videos, protocol, options.ambiguous)
    scored = sort_by_score(rows[~(other_subset | other_label | ambiguous)])
    scored = replace(scored, start=protocol.proposal_times(scored.start), end=protocol.proposal_times(scored.end))
    excluded_videos = [video for video in subset_videos if video_index[video.id] == NOT_SCORED]
    unknown_videos = tuple(id for id in by_id if id not in video_index)
    counts = EvaluationCounts(
        videos=len(videos),
        instances=len(segments),
        proposals=len(scored),
        videos_left_out=tuple(video.id for video in excluded_videos),
        instances_left_out=sum(len(video.segments) for video in excluded_videos),
        instances_of_no_length=int((segments.end <= segments.start).sum()),
        videos_without_proposals=sum(not by_id.get(video.id) for video in videos),
        unknown_videos=unknown_videos,
        proposals_elsewhere=int((scored.video == NOT_SCORED).sum()),
        proposals_of_no_length=int((scored.end <= scored.start).sum()),
        proposals_of_other_subsets=int(other_subset.sum()),
        proposals_of_other_labels=int(other_label.sum()),
        proposals_ambiguous=int(ambiguous.sum()),
        labels_without_truth=_labels_without_ground_truth(by_id, video_index, classes),
    )
    return ScoringInputs(subset, videos, classes, segments, scored, counts, num_renamed)


def require_overlap(
    proposals: Proposals,
    ground_truth: Sequence[Video],
    options: EvaluationOptions = DEFAULT_OPTIONS,
    path: Path | None = None,
) -> None:
    """Check that a score would not be 0 only because the videos or classes have other names than in the ground truth.

    Args:
        proposals: Segments by video id.
        ground_truth: Annotated videos.
        options: Protocol and subset.
        path: The file of the proposals, for the error.

    Raises:
        DataError: There are predicted videos and none of them is in the scored subset (code `no-common-videos`), there
            are predicted segments and none of their labels is in the ground truth (code `no-common-labels`), or the
            subset has no annotated segments.
    """
    subset = _choose_subset(ground_truth, options.rules, options.subset)
    scored = [video.id for video in _split_videos(ground_truth, options.rules, subset)[0]]
    by_id, _ = _match_ids(proposals, ground_truth)
    if not by_id:
        return
    if not by_id.keys().isdisjoint(scored):
        _require_common_labels(by_id, ground_truth, path)
        return
    predicted_ids, scored_ids = (format_list(list(ids), MAX_EXAMPLES) for ids in (proposals, scored))
    other_subsets = sorted({_subset(video) for video in ground_truth if video.id in by_id})
    raise DataError(
        f"no video in common: {predicted_ids} here; {scored_ids} in the ground truth ({quote_subset(subset)})",
        path=path,
        hint=f"choose the subset of these videos with --subset: {' or '.join(map(quote_subset, other_subsets))}"
        if other_subsets
        else "predict with `--data DATA`, then the videos have the ids of the data set",
        code="no-common-videos",
    )


def _require_common_labels(proposals: Proposals, ground_truth: Sequence[Video], path: Path | None) -> None:
    """Raise DataError if there are predicted labels and none of them is a tag or label of the ground truth."""
    predicted = {segment.label for segments in proposals.values() for segment in segments}
    known = {label for video in ground_truth for label in video.labels} | set(_labels(ground_truth))
    if predicted and predicted.isdisjoint(known):
        predicted_names, known_names = (format_list(sorted(names), MAX_EXAMPLES) for names in (predicted, known))
        raise DataError(
            f"no class in common: {predicted_names} here; {known_names} in the ground truth",
            path=path,
            hint="write the class names as in the ground truth; upper and lower case differ",
            code="no-common-labels",
        )


def fitting_protocols(ground_truth: Sequence[Video], subset: str | None = None) -> list[str]:
    """Names of the protocols whose expected number of videos, instances and classes the ground truth has."""
    return [name for name, protocol in PROTOCOLS.items() if _fits(ground_truth, protocol, subset)]


def _fits(ground_truth: Sequence[Video], protocol: Protocol, subset: str | None) -> bool:
    if not protocol.expected_counts:
        return True
    try:
        chosen = _choose_subset(ground_truth, protocol, subset)
    except DataError:  # it has none of the protocol's subsets
        return False
    _, videos = _split_videos(ground_truth, protocol, chosen)
    instances = sum(len(video.segments) for video in videos)
    counts = {"videos": len(videos), "instances": instances, "classes": len(_labels(videos))}
    return protocol.expected_counts.items() <= counts.items()


def _choose_subset(ground_truth: Sequence[Video], protocol: Protocol, subset: str | None) -> str:
    """The requested subset, or the first of the protocol's that has segments."""
    if len({video.id for video in ground_truth}) < len(ground_truth):
        raise DataError(
            "the ground truth contains a video twice", hint="keep one entry per video", code="duplicate-video"
        )
    annotated = {_subset(video) for video in ground_truth if video.segments}
    candidates = protocol.subsets if subset is None else (SUBSETS.get(subset.lower(), subset),)
    for name in candidates:
        if name in annotated:
            return name
    available = " and ".join(sorted(map(quote_subset, annotated)))
    raise DataError(
        f"the ground truth has no segments in {' or '.join(map(quote_subset, candidates))}",
        hint=f"choose a subset that has segments: {available}" if available else "use other ground truth",
        code="no-segments",
    )


def _split_videos(ground_truth: Sequence[Video], protocol: Protocol, subset: str) -> tuple[list[Video], list[Video]]:
    """The videos of a subset, and those of them that the protocol scores."""
    subset_videos = [video for video in ground_truth if _subset(video) == subset]
    return subset_videos, [video for video in subset_videos if video.id not in protocol.excluded_videos]


def _subset(video: Video) -> str:
    return SUBSETS.get(video.subset.lower(), video.subset)


def _labels(videos: Sequence[Video]) -> list[str]:
    return sorted({segment.label for video in videos for segment in video.segments})


def _match_ids(proposals: Proposals, ground_truth: Sequence[Video]) -> tuple[Proposals, int]:
    """Rename videos as in the ground truth: some ActivityNet files write ids with a leading `v_`, some without."""
    ids = {video.id for video in ground_truth}
    alternatives = {id.removeprefix("v_") if id.startswith("v_") else f"v_{id}": id for id in ids}
    renames = {id: alternatives[id] for id in proposals if id not in ids and id in alternatives}
    renames = {id: name for id, name in renames.items() if name not in proposals}
    return {renames.get(id, id): segments for id, segments in proposals.items()}, len(renames)


def _to_columns(
    segments_by_id: Mapping[str, Sequence[Segment]], video_index: Mapping[str, int], classes: Sequence[str]
) -> Intervals:
    """Segments as columns, in the same order. Raises DataError for a number that is not finite or too large."""
    label_index = {label: index for index, label in enumerate(classes)}
    videos = np.array([video_index.get(id, NOT_SCORED) for id in segments_by_id], dtype=np.int64)
    segments = [segment for group in segments_by_id.values() for segment in group]
    columns = Intervals(
        np.repeat(videos, [len(group) for group in segments_by_id.values()]),
        np.array([label_index.get(segment.label, -1) for segment in segments], dtype=np.int64),
        np.array([segment.start for segment in segments], dtype=np.float64),
        np.array([segment.end for segment in segments], dtype=np.float64),
        np.array([0.0 if segment.score is None else segment.score for segment in segments], dtype=np.float64),
    )
    magnitudes = np.abs([columns.start, columns.end, columns.score]).max(0)
    invalid = np.flatnonzero(~(magnitudes <= MAX_MAGNITUDE))  # not `>`, so that nan is invalid too
    if len(invalid):
        ids = [id for id, group in segments_by_id.items() for _ in group]
        raise DataError(
            f"{tuple(segments[invalid[0]])} contains a number that is not finite or exceeds {MAX_MAGNITUDE:g}",
            location=f"video {ids[invalid[0]]}",
            hint="fix or recreate the file",
            code="invalid-value",
        )
    return columns


def _overlaps_ambiguous(
    proposals: Intervals, videos: Sequence[Video], protocol: Protocol, ambiguous: AmbiguousIntervals | None
) -> Bools:
    """Which proposals the protocol removes: they share a whole snippet with an ambiguous interval (W-TALC). N."""
    overlaps = np.zeros(len(proposals), bool)
    if not protocol.removes_ambiguous or not ambiguous:
        return overlaps
    start, end = np.trunc(protocol.to_units(proposals.start)), np.trunc(protocol.to_units(proposals.end))
    for index, video in enumerate(videos):
        if video.id not in ambiguous:
            continue
        rows = np.flatnonzero(proposals.video == index)
        for low, high in protocol.ground_truth_times(ambiguous[video.id]):
            overlaps[rows] |= np.minimum(end[rows], high) > np.maximum(start[rows], low)
    return overlaps


def _labels_without_ground_truth(
    proposals: Proposals, video_index: Mapping[str, int], classes: Sequence[str]
) -> tuple[str, ...]:
    """Labels proposed for the scored subset that no ground-truth segment has."""
    labels = {
        segment.label
        for id, segments in proposals.items()
        if video_index.get(id, NOT_SCORED) != OTHER_SUBSET
        for segment in segments
    }
    return tuple(sorted(labels - set(classes)))


def _notes(inputs: ScoringInputs, ground_truth: Sequence[Video], options: EvaluationOptions) -> list[str]:
    notes = []
    if options.subset is None:
        notes += subset_notes(inputs.subset, {_subset(video) for video in ground_truth})
    if inputs.num_renamed:
        notes.append(f"{inputs.num_renamed:,} video ids have a leading v_ in one of the files; matched without it")
    scored = [video for video in ground_truth if _subset(video) == inputs.subset]
    if inputs.subset == "training" and (partial := sum(bool(v.segments) and not v.complete for v in scored)):
        notes.append(
            f"{partial:,} training videos are not marked as complete; what is not annotated counts as not happening"
        )
    proposed = set(inputs.proposals.label.tolist())
    classes_without_proposals = [label for index, label in enumerate(inputs.classes) if index not in proposed]
    return notes + comparison_notes(
        options.rules, inputs.counts, len(inputs.classes), options.ambiguous is not None, classes_without_proposals
    )
