"""Scores anybody's proposals against ground truth under a named protocol, and hands on a Result.

One algorithm: per class, the proposals of all videos by falling score; each takes a free action of its video
that it overlaps enough, else it is a false positive; the mean over classes of the average precision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from wtal.core.errors import DataError
from wtal.core.structures import SUBSETS, Proposals, Segment, Video
from wtal.evaluation.matching import Bools, Intervals, MatchedProposals, average_precision, match_proposals
from wtal.evaluation.protocols import PROTOCOLS, Protocol, checked_tious, find_protocol
from wtal.evaluation.results import EvaluationCounts, EvaluationResult, comparison_notes, named, subset_notes

Ambiguous = Mapping[str, Sequence[tuple[float, float]]]  # video id -> (start, end) in seconds

# Where a proposal's video is, if not among the scored ones: unknown or left out, or of another subset.
ELSEWHERE, OTHER_SUBSET = -1, -2

MAX_MAGNITUDE = 1e100  # of a time or a score: what is worked out of them stays finite


@dataclass(frozen=True)
class EvaluationWithMatches:
    """A file under one protocol: its result, and the matches that the result was counted from."""

    result: EvaluationResult
    ranked: MatchedProposals


@dataclass(frozen=True)
class ScoringInputs:
    """What is scored under a protocol, as columns in the order given, and what is not."""

    subset: str
    of_subset: list[Video]
    scored: list[Video]  # those of the subset that the protocol scores
    classes: list[str]
    places: dict[str, int]  # video id -> its place among the scored ones, or why it has none
    by_id: Proposals  # under the ids of the truth
    renamed: int
    actions: Intervals
    proposals: Intervals
    removed: dict[str, Bools]  # reason -> of all proposals, which are not scored


def evaluate(
    proposals: Proposals,
    truth: Sequence[Video],
    protocol: str = "activitynet",
    tious: ArrayLike | None = None,
    subset: str | None = None,
    ambiguous: Ambiguous | None = None,
    checkpoint: str = "not said",
) -> EvaluationResult:
    """Mean average precision of proposals (seconds) against the actions of one subset of `truth`.

    `protocol` is a name in `wtal.evaluation.protocols.PROTOCOLS`; `tious` replaces its thresholds, `subset` its choice
    of subset; `ambiguous` holds intervals (seconds) in which some protocols score nothing; `checkpoint` is
    handed on. Equal scores keep the order given. Raises ConfigError for an unknown protocol or a bad
    threshold, DataError when there is nothing to score against or a proposal is not finite.
    Source: the public evaluators of ActivityNet (seconds), CO2-Net (snippets) and W-TALC.
    """
    return evaluate_with_matches(proposals, truth, protocol, tious, subset, ambiguous, checkpoint).result


def evaluate_with_matches(
    proposals: Proposals,
    truth: Sequence[Video],
    protocol: str = "activitynet",
    tious: ArrayLike | None = None,
    subset: str | None = None,
    ambiguous: Ambiguous | None = None,
    checkpoint: str = "not said",
) -> EvaluationWithMatches:
    """What `evaluate` finds, with the matches beside it: they do not depend on which other videos are counted."""
    rules = find_protocol(protocol)
    thresholds = checked_tious(rules.tious if tious is None else tious)
    told = prepare_scoring(proposals, truth, rules, subset, ambiguous)
    classes, actions, kept = told.classes, told.actions, told.proposals
    ranked = match_proposals(kept, actions, rules, thresholds, (len(classes), len(told.scored)))
    per_class = _score(ranked, classes)

    counts = replace(
        _count(told.of_subset, told.scored, actions, kept, told.removed),
        videos_without_proposals=sum(not told.by_id.get(video.id) for video in told.scored),
        labels_without_truth=_other_labels(told.by_id, told.places, classes),
    )
    seen = set(kept.label.tolist())
    silent = [label for number, label in enumerate(classes) if number not in seen]
    notes = []
    if subset is None:
        notes += subset_notes(told.subset, {_subset(video) for video in truth})
    if told.renamed:
        notes.append(f"{told.renamed:,} videos have v_ before their id on one side only; taken as the same")
    notes += comparison_notes(rules, counts, len(classes), ambiguous is not None, silent)
    result = EvaluationResult(
        protocol=rules.name,
        subset=told.subset,
        tious=thresholds,
        map=tuple(np.mean(list(per_class.values()), axis=0).tolist()),
        averages=rules.averages if tious is None else ((min(thresholds), max(thresholds)),),
        per_class=per_class,
        instances_per_class=dict(zip(classes, np.bincount(actions.label).tolist(), strict=True)),
        counts=counts,
        notes=tuple(notes),
        checkpoint=checkpoint,
    )
    return EvaluationWithMatches(result, ranked)


def prepare_scoring(
    proposals: Proposals,
    truth: Sequence[Video],
    rules: Protocol,
    subset: str | None = None,
    ambiguous: Ambiguous | None = None,
) -> ScoringInputs:
    """What a protocol scores of a file, before anything is matched; options and errors as in `evaluate`."""
    chosen, of_subset, scored = _scored(truth, rules, subset)
    classes = _labels(scored)
    if not classes:
        raise DataError(f"{rules.name} leaves out every video that has actions; use another protocol")
    by_id, renamed = _match_ids(proposals, truth)
    places = _places(truth, of_subset, scored)
    actions = _columns({video.id: video.segments for video in scored}, places, classes)
    actions = replace(actions, start=rules.truth_times(actions.start), end=rules.truth_times(actions.end))
    found = _columns(by_id, places, classes)
    removed = _removed(found, scored, rules, ambiguous)
    kept = found[~np.any(list(removed.values()), axis=0)]
    kept = replace(kept, start=rules.proposal_times(kept.start), end=rules.proposal_times(kept.end))
    return ScoringInputs(chosen, of_subset, scored, classes, places, by_id, renamed, actions, kept, removed)


def fitting_protocols(truth: Sequence[Video], subset: str | None = None) -> list[str]:
    """The protocols whose promise of videos, instances and classes the ground truth keeps."""
    return [name for name, rules in PROTOCOLS.items() if not rules.promise or _keeps(truth, rules, subset)]


def _keeps(truth: Sequence[Video], rules: Protocol, subset: str | None) -> bool:
    try:
        scored = _scored(truth, rules, subset)[2]
    except DataError:  # it has none of the protocol's subsets
        return False
    instances = sum(len(video.segments) for video in scored)
    there = {"videos": len(scored), "instances": instances, "classes": len(_labels(scored))}
    return rules.promise.items() <= there.items()


def _score(ranked: MatchedProposals, classes: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Label -> average precision at each threshold."""
    return {
        label: tuple(average_precision(ranked.hits[:, rows], count, ranked.interpolated).tolist())
        for label, rows, count in zip(classes, ranked.classes, ranked.instances.sum(1), strict=True)
    }


def _count(
    of_subset: Sequence[Video],
    scored: Sequence[Video],
    actions: Intervals,
    kept: Intervals,
    removed: Mapping[str, Bools],
) -> EvaluationCounts:
    scored_ids = {video.id for video in scored}
    left_out = [video for video in of_subset if video.id not in scored_ids]
    return EvaluationCounts(
        videos=len(scored),
        instances=len(actions),
        proposals=len(kept),
        videos_left_out=tuple(video.id for video in left_out),
        instances_left_out=sum(len(video.segments) for video in left_out),
        instances_of_no_length=int((actions.end <= actions.start).sum()),
        proposals_elsewhere=int((kept.video == ELSEWHERE).sum()),
        proposals_of_no_length=int((kept.end <= kept.start).sum()),
        proposals_of_other_subsets=int(removed["other subset"].sum()),
        proposals_of_other_labels=int(removed["other label"].sum()),
        proposals_ambiguous=int(removed["ambiguous"].sum()),
    )


def _scored(truth: Sequence[Video], rules: Protocol, subset: str | None) -> tuple[str, list[Video], list[Video]]:
    """The subset's name, its videos, and those of them that the protocol scores."""
    chosen = _choose_subset(truth, rules, subset)
    of_subset = [video for video in truth if _subset(video) == chosen]
    return chosen, of_subset, [video for video in of_subset if video.id not in rules.without]


def _labels(videos: Sequence[Video]) -> list[str]:
    return sorted({action.label for video in videos for action in video.segments})


def _choose_subset(truth: Sequence[Video], rules: Protocol, subset: str | None) -> str:
    """The subset asked for, else the first of the protocol's that has actions."""
    if len({video.id for video in truth}) < len(truth):
        raise DataError("the ground truth holds a video twice; keep one entry of each")
    with_actions = {_subset(video) for video in truth if video.segments}
    wanted = rules.subsets if subset is None else (SUBSETS.get(subset.lower(), subset),)
    for name in wanted:
        if name in with_actions:
            return name
    there = " and ".join(sorted(named(name) for name in with_actions))
    way_out = f"but in {there}; name such a subset or" if there else "nor anywhere else;"
    raise DataError(
        f"the ground truth marks no start and end in {' or '.join(map(named, wanted))}, "
        f"{way_out} give other ground truth"
    )


def _subset(video: Video) -> str:
    return SUBSETS.get(video.subset.lower(), video.subset)


def _match_ids(proposals: Proposals, truth: Sequence[Video]) -> tuple[Proposals, int]:
    """The proposals under the ids of the truth: ActivityNet's files write a video with and without `v_`."""
    known = {video.id for video in truth}
    other = {id.removeprefix("v_") if id.startswith("v_") else f"v_{id}": id for id in known}
    renames = {id: other[id] for id in proposals if id not in known and id in other}
    renames = {id: name for id, name in renames.items() if name not in proposals}
    return {renames.get(id, id): found for id, found in proposals.items()}, len(renames)


def _places(truth: Sequence[Video], of_subset: Sequence[Video], scored: Sequence[Video]) -> dict[str, int]:
    """Where each video of the truth is among the scored ones, or why it is not."""
    places = {video.id: OTHER_SUBSET for video in truth}
    places |= {video.id: ELSEWHERE for video in of_subset}
    return places | {video.id: place for place, video in enumerate(scored)}


def _columns(
    lists: Mapping[str, Sequence[Segment] | Sequence[Segment]],
    places: Mapping[str, int],
    classes: Sequence[str],
) -> Intervals:
    """Actions or proposals as columns, in the order given. Raises DataError for a number beyond MOST."""
    number = {label: place for place, label in enumerate(classes)}
    videos = np.array([places.get(id, ELSEWHERE) for id in lists], dtype=np.int64)
    flat = [item for items in lists.values() for item in items]
    table = Intervals(
        np.repeat(videos, [len(items) for items in lists.values()]),
        np.array([number.get(item.label, -1) for item in flat], dtype=np.int64),
        np.array([item.start for item in flat], dtype=np.float64),
        np.array([item.end for item in flat], dtype=np.float64),
        np.array([0.0 if item.score is None else item.score for item in flat], dtype=np.float64),
    )
    wrong = np.flatnonzero(~(np.abs([table.start, table.end, table.score]).max(0) <= MAX_MAGNITUDE))  # nan is not below
    if len(wrong):
        ids = [id for id, items in lists.items() for _ in items]
        raise DataError(
            f"{ids[wrong[0]]}: {flat[wrong[0]]} is not all finite numbers up to {MAX_MAGNITUDE:g}; make it again"
        )
    return table


def _removed(
    found: Intervals, scored: Sequence[Video], rules: Protocol, ambiguous: Ambiguous | None
) -> dict[str, Bools]:
    """Why proposals are not scored: reason -> N, each proposal under one reason at most."""
    other_subset = found.video == OTHER_SUBSET
    other_label = ~other_subset & (found.label < 0)
    overlapping = np.zeros(len(found), bool)
    if rules.ambiguous and ambiguous:
        overlapping = _overlapping(found, scored, rules, ambiguous) & ~other_label
    return {
        "other subset": other_subset,
        "other label": other_label,
        "ambiguous": overlapping,
    }


def _overlapping(found: Intervals, scored: Sequence[Video], rules: Protocol, ambiguous: Ambiguous) -> Bools:
    """Proposals that share a whole snippet with an ambiguous interval of their video, as W-TALC has it. N."""
    start, end = np.trunc(rules.snippets(found.start)), np.trunc(rules.snippets(found.end))
    overlapping = np.zeros(len(found), bool)
    for place, video in enumerate(scored):
        if video.id not in ambiguous:
            continue
        rows = np.flatnonzero(found.video == place)
        for low, high in rules.truth_times(ambiguous[video.id]):
            overlapping[rows] |= np.minimum(end[rows], high) > np.maximum(start[rows], low)
    return overlapping


def _other_labels(proposals: Proposals, places: Mapping[str, int], classes: Sequence[str]) -> tuple[str, ...]:
    """Labels that were proposed for the scored subset, and that no action has."""
    proposed = {
        proposal.label
        for id, found in proposals.items()
        if places.get(id, ELSEWHERE) != OTHER_SUBSET
        for proposal in found
    }
    return tuple(sorted(proposed - set(classes)))
