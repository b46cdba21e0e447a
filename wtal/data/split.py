"""Hold out whole videos, or whole groups of videos, in proportion to their classes."""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from wtal.core.errors import ConfigError, DataError
from wtal.core.text import format_list
from wtal.data.problems import abbreviate
from wtal.data.tags import Row, rows_to_videos

Counts = Counter[str | None]
NO_LABEL = ""  # stands for the class of videos without a label


@dataclass(frozen=True)
class SplitOptions:
    """Which videos to hold out for validation.

    Attributes:
        share: The share of the videos, between 0 and 1.
        group: Name of the column of the tables whose values are kept together, such as the person; empty for none.
        seed: Seed of the random choice.
    """

    share: float
    group: str = ""
    seed: int = 0


def split_rows(rows: Mapping[str, Sequence[Row]], options: SplitOptions) -> tuple[dict[str, Sequence[Row]], str]:
    """Move videos to the validation subset. Only videos with times for each of their labels can be scored there.

    Args:
        rows: Id of a video to its rows.
        options: The share, and the groups that are held out as a whole; videos of such a group without times are
            neither trained on nor scored.

    Returns:
        The rows with subsets, and a sentence that says what was held out.

    Raises:
        ConfigError: The tables say which videos are held out, or none can be.
        DataError: No video has times for each of its labels, or the group of a video is not clear.
    """
    if given := next((row for video in rows.values() for row in video if row.subset), None):
        raise ConfigError(
            "--split cannot be combined with the column `subset`",
            path=given.table,
            location=f"line {given.line}",
            hint="leave out one of them",
            code="conflicting-options",
        )
    groups = {id: _group_of(video) for id, video in rows.items()} if options.group else None
    as_validation = {id: [replace(row, subset="validation") for row in video] for id, video in rows.items()}
    scorable = {video.id: video.labels for video in rows_to_videos(as_validation)[0]}
    if not any(scorable.values()):
        table = next(row.table for video in rows.values() for row in video)
        hint = "add times, or hold out videos by their tags with `wtal train --hold-out`"
        raise DataError("no video has times for each of its labels", path=table, hint=hint, code="no-segments")
    held_out = choose_held_out(scorable, options.share, options.seed, groups)
    names = sorted({groups[id] for id in held_out}) if groups else []
    moved = held_out | {id for id in rows if groups and groups[id] in names}
    text = f"{len(moved)} of {len(rows)} videos are held out for validation (--split, seed {options.seed})"
    if names:
        text += f": {options.group} {format_list([abbreviate(name) for name in names])}"
    held_classes = {label for id in held_out for label in scorable[id]}
    missing = sorted({row_label for video in rows.values() for row in video for row_label in row.labels} - held_classes)
    if missing:
        text += f"; no video with {format_list([abbreviate(repr(label)) for label in missing])} is held out"
    return {id: as_validation[id] if id in moved else video for id, video in rows.items()}, text


def _group_of(rows: Sequence[Row]) -> str:
    """The group of a video. Raises DataError unless all its rows have the same."""
    row = next((row for row in rows if row.group != rows[0].group), rows[0])
    if row is not rows[0] or not row.group:
        message = "the video is in two groups" if row.group else "the group is missing"
        location, hint = f"line {row.line}", "write the same group in all rows of a video"
        raise DataError(message, path=row.table, location=location, hint=hint, code="invalid-group")
    return row.group


def choose_held_out(
    videos: Mapping[str, Collection[str]], share: float, seed: int = 0, groups: Mapping[str, str] | None = None
) -> frozenset[str]:
    """Choose about a share of the videos at random so that each class is held out in proportion.

    Groups are added one at a time, the one that most reduces sum_c (h_c - share n_c)^2 / n_c, where n_c videos have
    class c and h_c of them are held out; one of the terms counts all videos. It is the greedy idea of iterative
    stratification (Sechidis et al., 2011) with the chi-squared distance. Every class keeps a video for training.

    Args:
        videos: Id to the classes of each video.
        share: The share of the videos, between 0 and 1.
        seed: Seed of the random choice. The order of `videos` does not matter.
        groups: Id to group, for videos that are kept together with others.

    Returns:
        The ids, at least one.

    Raises:
        ConfigError: The share is not between 0 and 1, or nothing can be held out without taking the last training
            video of a class.
    """
    if not 0 < share < 1:
        raise ConfigError(f"the share to hold out is {share:g}", hint="use a share such as 0.2", code="invalid-value")
    target = Fraction(share).limit_denominator(1_000_000)  # exact, so that the order of additions does not matter
    members: dict[str, list[str]] = {}
    for id in sorted(videos):
        members.setdefault((groups or {}).get(id, f"\0{id}"), []).append(id)
    counts = {name: _count(videos[id] for id in ids) for name, ids in sorted(members.items())}
    totals = sum(counts.values(), Counts())
    candidates = list(counts)
    random.Random(seed).shuffle(candidates)
    chosen: list[str] = []
    held: Counts = Counter()
    while True:
        allowed = [name for name in candidates if all(held[c] + n < totals[c] for c, n in counts[name].items())]
        costs = {name: _added_cost(counts[name], held, totals, target) for name in allowed}
        best = min(allowed, key=lambda name: costs[name], default=None)
        if best is None or (chosen and costs[best] >= 0):
            break
        chosen.append(best)
        candidates.remove(best)
        held += counts[best]
    if not chosen:
        raise ConfigError(
            "no video can be held out: some class would have none left for training",
            hint="add videos, or leave out --split",
            code="invalid-value",
        )
    return frozenset(id for name in chosen for id in members[name])


def _count(videos: Iterable[Collection[str]]) -> Counts:
    """The number of videos of each class, and of all under None."""
    counts: Counts = Counter()
    for labels in videos:
        counts.update([None, *(set(labels) or {NO_LABEL})])
    return counts


def _added_cost(group: Counts, held: Counts, totals: Counts, share: Fraction) -> Fraction:
    """How much the distance to the target grows if a group is held out too."""
    return sum(((n * (2 * (held[c] - share * totals[c]) + n)) / totals[c] for c, n in group.items()), start=Fraction(0))
