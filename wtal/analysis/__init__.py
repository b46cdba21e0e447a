"""Why a file of proposals loses points: errors by kind, what mending each is worth, what is missed and where.

In the spirit of Alwassel et al., Diagnosing Error in Temporal Action Detectors (DETAD, ECCV 2018).
"""

from collections.abc import Sequence

import numpy as np

from wtal.analysis.kinds import gains, kinds_at, profile
from wtal.analysis.layout import lay_out, nearest
from wtal.analysis.records import DEPTH, LOWEST, Analysis
from wtal.analysis.traits import group, traits
from wtal.errors import ConfigError
from wtal.evaluate import Ambiguous, evaluate
from wtal.matching import takers
from wtal.protocols import checked_tious, find_protocol
from wtal.records import Proposals, Video

__all__ = ["Analysis", "analyse"]


def analyse(
    proposals: Proposals,
    truth: Sequence[Video],
    protocol: str = "activitynet",
    tiou: float = 0.5,
    subset: str | None = None,
    ambiguous: Ambiguous | None = None,
    checkpoint: str = "not said",
    tious: Sequence[float] | None = None,
) -> Analysis:
    """Tell the kind of every scored prediction at a tIoU, and what is lost by each kind, under a named protocol.

    The options and the errors are those of `wtal.evaluate.evaluate`; ConfigError also for a tIoU below 0.1,
    where background begins. mAP is the protocol's, of all its predictions; averages are over `tious`, by default
    the protocol's. Where it is said how many of a kind there are and which instances are missed, the ten surest
    predictions for each instance of a class count
    (DETAD's top-10G): proposals files end with thousands of guesses that nobody would look at.
    """
    (tiou,) = checked_tious(tiou)
    if tiou < LOWEST:
        raise ConfigError(f"the tIoU is {tiou:g}; below {LOWEST:g} all is background, use {LOWEST:g} to 1")
    rules = find_protocol(protocol)
    result = evaluate(proposals, truth, protocol, tious, subset, ambiguous, checkpoint)
    layout = lay_out(proposals, truth, rules, subset, ambiguous)
    thresholds = (tiou, *result.tious)
    taken = takers(layout.proposals, layout.actions, rules, thresholds)
    overlaps, ranks = nearest(layout), layout.ranks()
    kinds = np.array([kinds_at(hits, *overlaps, t) for hits, t in zip(taken >= 0, thresholds, strict=True)])
    missed = np.ones(len(layout.actions), bool)
    missed[taken[0][(taken[0] >= 0) & (ranks < DEPTH)]] = False
    among, beyond = profile(kinds[0], ranks)
    found = traits(layout, taken[1:], missed, rules.interpolated)
    return Analysis(
        tiou=tiou,
        result=result,
        map_at_tiou=layout.mean_precision(taken[0] >= 0, taken[0] < 0, rules.interpolated),
        profile=among,
        beyond=beyond,
        gains=gains(layout, taken >= 0, kinds, rules.interpolated),
        whole=group(layout, taken[1:], missed, np.ones_like(missed), rules.interpolated, "all"),
        traits=found,
        notes=tuple(
            f"{trait.unknown:,} instances are in videos of unknown duration; they have no {trait.name}"
            for trait in found
            if trait.unknown
        ),
    )
