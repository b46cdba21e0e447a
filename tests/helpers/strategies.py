"""Hypothesis strategies for the data structures."""

from hypothesis import strategies as st

from wtal.core.structures import Segment, Video
from wtal.core.text import find_hidden

labels = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text.strip() and find_hidden(text) is None and find_hidden(text.strip()) is None
)
seconds = st.floats(0, 1e5, allow_nan=False)
segments = st.builds(lambda label, a, b: Segment(label, min(a, b), max(a, b)), labels, seconds, seconds)


@st.composite
def videos(draw: st.DrawFn) -> Video:
    """A video with tags, and with segments whose labels are among them."""
    drawn = draw(st.lists(segments, max_size=4))
    tags = set(draw(st.lists(labels, max_size=3))) | {segment.label for segment in drawn}
    return Video(
        draw(labels),
        draw(st.sampled_from(["training", "validation", "testing"])),
        tuple(sorted(tags)),
        draw(st.none() | st.floats(0.1, 1e5)),
        tuple(drawn),
    )
