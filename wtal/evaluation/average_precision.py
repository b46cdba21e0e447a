"""Average precision: of ranked proposals, and of the same proposals on resampled videos."""

import numpy as np

from wtal.core.arrays import Bools, Floats, Ints


def precision_envelope(precision: Floats, axis: int = -1) -> Floats:
    """Interpolate precision: the highest value at this rank or a later one (VOC 2011).

    Args:
        precision: Precision by descending score along `axis`.
        axis: Axis of the proposals.
    """
    envelope: Floats = np.flip(np.maximum.accumulate(np.flip(precision, axis), axis=axis), axis)
    return envelope


def average_precision(hits: Bools, instances: int, interpolated: bool = True) -> Floats:
    """Sum of the precision at each hit, divided by the number of instances.

    Args:
        hits: Whether each proposal is a true positive, by descending score. tIoUs x N.
        instances: Number of ground-truth segments.
        interpolated: Whether to use the precision envelope.

    Returns:
        Average precision at each tIoU, as fractions.
    """
    precision: Floats = hits.cumsum(1) / np.arange(1, hits.shape[1] + 1)
    if interpolated:
        precision = precision_envelope(precision)
    total: Floats = (precision * hits).sum(1) / instances
    return total


def resampled_precision_sum(hits: Bools, copies: Ints, interpolated: bool = True) -> Floats:
    """Sum of the precision at each hit when each proposal is repeated a number of times.

    Equals `average_precision(np.repeat(hits, copies, axis=1), 1)` for every draw, without making the copies.

    Args:
        hits: Whether each proposal is a true positive, by descending score. tIoUs x N.
        copies: How often each proposal is repeated in each draw. N x draws.
        interpolated: Whether to use the precision envelope.

    Returns:
        tIoUs x draws.
    """
    last_rank = copies.cumsum(0)  # N x draws: rank of the last copy of each proposal
    total = np.zeros((len(hits), copies.shape[1]))
    harmonic = None if interpolated else np.r_[0.0, np.cumsum(1 / np.arange(1, last_rank.max(initial=0) + 1))]
    for row, hit in enumerate(hits):
        hit_copies, rank = copies[hit], last_rank[hit]  # H x draws
        true_positives = hit_copies.cumsum(0)  # up to the last copy of each hit
        if harmonic is None:
            # The last copy of a hit has the highest precision, and the envelope extends it to the copies before.
            precision = np.divide(true_positives, rank, out=np.zeros(rank.shape), where=rank > 0)
            total[row] = (hit_copies * precision_envelope(precision, axis=0)).sum(0)
        else:
            # Precision at rank r is 1 - false_positives / r. False positives do not change between copies of a hit,
            # so the sum over its copies is their number minus false_positives * (1 / first_rank + ... + 1 / rank).
            false_positives = rank - true_positives
            total[row] = (hit_copies - false_positives * (harmonic[rank] - harmonic[rank - hit_copies])).sum(0)
    return total


def mean_average_precision(
    label: Ints,
    hits: Bools,
    false_positives: Bools,
    instances: Ints,
    interpolated: bool = True,
    normalized_instances: float | None = None,
) -> float:
    """Mean over the classes of the average precision at one tIoU, for any choice of hits and false positives.

    Args:
        label: Class index of each proposal. Sorted; within a class by descending score. N.
        hits: Proposals that count as true positives. N.
        false_positives: Proposals that count as false positives. Those that are neither are ignored. N.
        instances: Number of ground-truth segments of each class. Classes without any are ignored. C.
        interpolated: Whether to use the precision envelope.
        normalized_instances: Compute precision as if each class had this number of segments (DETAD's normalized mAP):
            `R N / (R N + false positives)` with recall R and this number N.
    """
    rows = np.flatnonzero(hits)
    hit_label = label[rows]  # H
    hit_instances = instances[hit_label]  # H
    hits_so_far = np.arange(1, len(rows) + 1) - np.searchsorted(hit_label, hit_label)  # of the same class
    weight = 1 if normalized_instances is None else normalized_instances / hit_instances
    true_positives = weight * hits_so_far
    num_before = np.append(0, false_positives.cumsum())  # false positives before each row
    first_rows = np.searchsorted(label, hit_label)  # of the same class
    precision = true_positives / (true_positives + num_before[rows] - num_before[first_rows])
    if interpolated and len(rows):
        # One row per class. Padding with 0 at the end does not change the envelope.
        by_class = np.zeros((len(instances), hits_so_far.max()))
        by_class[hit_label, hits_so_far - 1] = precision
        precision = precision_envelope(by_class)[hit_label, hits_so_far - 1]
    return float((precision / hit_instances).sum() / np.count_nonzero(instances))
