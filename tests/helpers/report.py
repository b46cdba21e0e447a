"""Reports with made-up content, and the parts of a rendered page."""

from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from wtal.core.structures import Segment, Video
from wtal.data.layouts.activitynet import read_activitynet, read_proposals
from wtal.evaluation.protocols import EvaluationOptions
from wtal.inference.postprocessing import top_non_overlapping
from wtal.reporting.figures.layout import TimelineData
from wtal.reporting.html.collect import ReportData, score

HOSTILE = '</script><img src=x onerror="boom()"><!--'
CLASSES = ("run", HOSTILE)


def make_video(id: str, label: str) -> Video:
    """A testing video of 3 s with one segment, from 1 s to 2 s."""
    return Video(id, "testing", (label,), 3.0, (Segment(label, 1.0, 2.0),))


def make_timeline(title: str = "a", label: str = "run", snippets: int = 6) -> TimelineData:
    """One segment of ground truth, one prediction and two proposals; snippets of 0.5 s."""
    rng = np.random.default_rng(0)
    proposals = [Segment(label, 1.0, 2.0, 0.9), Segment("run", 0.25, 1.5, 0.2)]
    cas = rng.random((snippets, 2))
    return TimelineData(
        title=title,
        duration=3.0,
        ground_truth=(Segment(label, 1.0, 2.5),),
        predictions=proposals[:1],
        proposals=proposals,
        times=np.arange(snippets + 1) * 0.5,
        attention=rng.random(snippets),
        cas=cas,
    )


def empty_timeline(title: str = "v", proposals: tuple[Segment, ...] = ()) -> TimelineData:
    """A timeline without curves."""
    return TimelineData(title, 3.0, (), [], proposals, np.zeros(0), np.zeros(0), np.zeros((0, 2)))


def make_report(*timelines: TimelineData, **fields: object) -> ReportData:
    """A report of these timelines with the classes `CLASSES`."""
    return ReportData("a run", (("method", HOSTILE),), CLASSES, timelines, **fields)


def thumos_report(shared: Callable[..., Path]) -> ReportData:
    """THUMOS14's 212 testing videos with the proposals of a published system and the curves of another one."""
    truth = [video for video in read_activitynet(shared("thumos14", "acmnet_gt.json")) if video.subset == "testing"]
    proposals = read_proposals(shared("thumos14", "pmil_base_test.json"))
    curves = np.load(shared("bench", "canned_cas.npz"))
    classes = tuple(sorted({segment.label for video in truth for segment in video.segments}))
    predictions = {id: top_non_overlapping(segments) for id, segments in proposals.items()}

    def timelines() -> Iterator[TimelineData]:
        for video in truth:
            attention, cas = (curves[f"{video.id}/{name}"] for name in ("attn", "cas"))
            times = np.arange(len(attention) + 1) * 0.64
            lanes = video.segments, predictions.get(video.id, []), proposals.get(video.id, [])
            yield TimelineData(video.id, video.duration or times[-1], *lanes, times, attention[:, 0], cas[:, :-1])

    scores = score({"P-MIL": [proposals]}, predictions, truth, EvaluationOptions("thumos14-212", subset="testing"))
    return ReportData("P-MIL on THUMOS14", (), classes, timelines(), scores)


class Page(HTMLParser):
    """The elements of a page as a browser sees them, and the text of each script by its id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str | None, str] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            id = self.tags[-1][1].get("id")
            self.scripts[id] = self.scripts.get(id, "") + data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]
