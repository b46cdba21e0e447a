"""In which order the videos are worth reviewing."""

from collections.abc import Mapping

from wtal.web.predictions import VideoSummary


def review_order(summaries: Mapping[str, VideoSummary | None]) -> list[str]:
    """The keys of the videos that are not reviewed yet, the one whose labels help most first.

    Args:
        summaries: Key to the summary of the prediction, None without a prediction; these videos are last.
    """
    return sorted(summaries, key=lambda key: -(summary.uncertainty if (summary := summaries[key]) else -1.0))
