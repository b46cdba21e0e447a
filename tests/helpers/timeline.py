"""A timeline with made-up curves, for tests of figures and of the report."""

import numpy as np

from wtal.core.structures import Segment
from wtal.reporting.figures.layout import TimelineData

CLASSES = ("dive", "跳远", "a label so long that it fits nowhere at all $x_1^2$", "قفز")


def make_timeline(snippets: int = 40, duration: float = 20.0, columns: int = 5, **fields) -> TimelineData:
    """`make_timeline(title="a")`: `CLASSES` and a background column; any field of TimelineData can be replaced."""
    rng = np.random.default_rng(0)
    defaults = {
        "title": "video_1",
        "ground_truth": (Segment("dive", 2.0, 6.0),),
        "predictions": [Segment("dive", 2.5, 6.5, 0.9)],
        "proposals": [Segment("dive", 2.5, 6.5, 0.9), Segment("قفز", 1.0, 9.0, 0.2)],
        "times": np.linspace(0, duration, snippets + 1),
        "attention": rng.random(snippets),
        "cas": rng.random((snippets, columns)),
    }
    return TimelineData(duration=duration, **(defaults | fields))
