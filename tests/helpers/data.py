"""Synthetic data sets and annotated videos that the tests share."""

from wtal.core.structures import Segment, Video
from wtal.data.synthetic.features import SyntheticConfig

TINY = SyntheticConfig(
    classes=3,
    training=8,
    validation=3,
    testing=3,
    snippets=(24, 32),
    modalities=(6, 4),
    action_snippets=(3, 6),
    without_action=0.2,  # one of the eight training videos has no label
)

TINIEST = SyntheticConfig(  # for tests that run whole commands
    classes=2,
    training=4,
    validation=2,
    testing=2,
    snippets=(24, 28),
    modalities=(3, 2),
    action_snippets=(3, 5),
    without_action=0,
)


def video(id: str, subset: str, *segments: tuple[str, float, float], duration: float | None = 30.0) -> Video:
    """A video with the labels of its segments."""
    labels = tuple(sorted({label for label, _, _ in segments}))
    return Video(id, subset, labels, duration, tuple(Segment(*segment) for segment in segments))


DIVE = (("CliffDiving", 3.0, 7.5), ("Diving", 3.0, 7.5))
BENCHMARK_VIDEOS = [
    video("train_1", "training", *DIVE, ("Diving", 12.0, 15.5)),
    video("train_2", "training", ("Run", 1.0, 4.25), ("Run", 8.0, 9.0)),
    video("train_3", "training", ("Diving", 0.0, 40.0)),
    video("test_1", "testing", *DIVE, ("Run", 33.0, 36.0)),  # a segment after the end
    video("test_2", "testing", ("Run", 0.0, 1.0), duration=1.0),
    video("test_3", "testing", duration=0.2),  # shorter than a snippet
]
