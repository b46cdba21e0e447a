"""In which order the videos are worth reviewing."""

from collections.abc import Mapping

from wtal.web.predictions import VideoSummary


def review_order(summaries: Mapping[str, VideoSummary | None], ranks: Mapping[str, int]) -> list[str]:
    """The keys of the videos that are not reviewed yet, the one whose labels help most first.

    Args:
        summaries: Key to the summary of the prediction, None without a prediction.
        ranks: Key to the rank among the suggested videos. These are first, then the other videos by uncertainty, then
            those without a prediction.
    """

    def sort_key(key: str) -> tuple[float, float]:
        summary = summaries[key]
        return ranks.get(key, len(ranks)), -summary.uncertainty if summary else 1.0

    return sorted(summaries, key=sort_key)
