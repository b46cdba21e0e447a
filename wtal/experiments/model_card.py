"""A model card: README.md in a checkpoint folder says what the model is, and what is and is not known about it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wtal import __version__
from wtal.core.config import non_default_settings
from wtal.core.errors import CheckpointError
from wtal.core.io import read_json, write_text
from wtal.core.text import code_span, escape_markdown, markdown_table, yaml_string
from wtal.data.dataset import Dataset
from wtal.data.problems import abbreviate
from wtal.evaluation.results import EvaluationResult, quote_subset, summary_lines
from wtal.experiments.statistics import Score
from wtal.models.checkpoint import ModelMetadata, latest_checkpoint, read_meta

CARD_NAME = "README.md"
MEMORY = {
    "none": "no memory",
    "kept": "a memory of prototypes",
    "shuffled": "a memory whose classes are shuffled, as a control",
    "random": "a memory frozen at random, as a control",
}
TEACHER = {
    "none": "no teacher",
    "global": "taught by its global branch",
    "dropout": "taught by itself under dropout, as a control",
}
NOT_SCORED = (
    "**Not scored.** Nobody has measured this model, or nobody has written it here. `wtal localize` and "
    "`wtal evaluate` measure it on sequences whose starts and ends are known and that it was not trained on."
)
USE = """\
```python
import numpy as np, wtal
localizer = wtal.Localizer.from_pretrained("this/folder")
proposals = localizer(np.load("features.npy"))  # label, start, end in seconds, score; the surest first
```

```sh
wtal localize this/folder DATASET --out proposals.json  # a data set folder with such features
```"""
USE_VIDEO = """

It takes videos too, `wtal predict video.mp4 --model this/folder`, where its backbone is installed."""
CITE = """\
The method follows this paper as far as its abstract tells it. No number on this card is the paper's.

```bibtex
@inproceedings{{dfe2023,
  title = {{Dual-Feature Enhancement for Weakly Supervised Temporal Action Localization}},
  booktitle = {{ICASSP 2023}},
  year = {{2023}},
  note = {{IEEE document 10096383}}
}}
@misc{{wtal,
  title = {{wtal: weakly supervised temporal action localization}},
  note = {{Version {version}}}
}}
```

Cite the authors of the data and of the backbone too. The licence of this model is its owner's to state."""


@dataclass(frozen=True)
class TrainingData:
    """The data set that a model learned from; `about` is its dataset.json."""

    name: str
    sequences: int  # without those that were held out
    without_label: int  # of these
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Card:
    """All that a card says. `scores` are those of the same data set, protocol, subset and rule as `results[0]`."""

    meta: ModelMetadata
    version: str  # of wtal, when the model was trained
    data: TrainingData
    results: tuple[EvaluationResult, ...] = ()
    scores: tuple[Score, ...] = ()


def write_card(
    run: Path, folder: Dataset, results: Sequence[EvaluationResult] = (), scores: Sequence[Score] = ()
) -> Path:
    """Write README.md into the newest checkpoint of a run and return its place; an older card is replaced.

    `folder` is what the run was trained on, `results` are of this model's local branch. `scores`, one a method,
    are over the seeds on this data set, under the protocol, subset and checkpoint rule of the first result.
    Raises CheckpointError where there is no model, DataError where nothing can be written.
    """
    place = latest_checkpoint(run)
    if place is None:
        raise CheckpointError(f"{run}: no model to write a card for; name the --out of train")
    meta = read_meta(place)
    card = Card(meta, _version(place), training_data(folder, meta), tuple(results), tuple(scores))
    write_text(place / CARD_NAME, card_text(card))
    return place / CARD_NAME


def training_data(folder: Dataset, meta: ModelMetadata) -> TrainingData:
    """What a model saw of a data set folder."""
    videos = [video for video in folder.subset("training") if video.id not in meta.held_out]
    without = sum(not video.labels for video in videos)
    return TrainingData(folder.path.resolve().name, len(videos), without, folder.about)


def card_text(card: Card) -> str:
    """Markdown under the YAML that the Hugging Face hub reads; no name can break out of either."""
    meta = card.meta
    title = f"# Temporal action localization: {code_span(meta.config.method)} trained on {code_span(card.data.name)}"
    sections = {
        "What it was trained on": _trained_on(card),
        "How": _how(card),
        "Result": _scored(card) if card.results else [NOT_SCORED],
        "Limits": _limits(card),
        "Use": [USE + (USE_VIDEO if meta.provenance else "")],
        "Cite": [CITE.format(version=card.version)],
    }
    lines = [*_front_matter(meta.classes), title, "", *_opening(card)]
    for name, body in sections.items():
        lines += ["", f"## {name}", "", *body]
    return "\n".join(lines) + "\n"


def _version(place: Path) -> str:
    said = str(read_json(place / "config.json").get("wtal"))
    return said if re.fullmatch(r"[0-9][\w.+-]{0,40}", said) else "unknown"


def _front_matter(classes: Sequence[str]) -> Iterator[str]:
    yield from ("---", "library_name: wtal", "tags:", "- temporal-action-localization", "- weakly-supervised")
    yield "classes:"
    yield from (f"- {yaml_string(name)}" for name in classes)
    yield from ("---", "")


def _opening(card: Card) -> Iterator[str]:
    yield (
        f"This model says **when** something happens in an untrimmed sequence. From features "
        f"(T snippets x {sum(card.meta.modalities)}) it makes proposals: label, start and end in seconds, score. "
        f"It learned from sequences tagged with *what* happens in them; no start and no end was shown to it."
    )


def _trained_on(card: Card) -> Iterator[str]:
    meta, data = card.meta, card.data
    unlabelled = f", {data.without_label:,} of them without any label" if data.without_label else ""
    held = f"; {len(meta.held_out):,} more were held out" if meta.held_out else ""
    yield f"- Data set: {code_span(data.name)}, {data.sequences:,} training sequences{unlabelled}{held}."
    yield f"- Classes ({len(meta.classes)}): {', '.join(map(code_span, meta.classes))}."
    widths = " + ".join(map(str, meta.modalities))
    source = (
        f"from {escape_markdown(str(meta.provenance))}" if meta.provenance else "from what backbone is not written down"
    )
    yield f"- Features: {widths} numbers a snippet, {source}."
    start, stride = meta.clock.offset, meta.clock.stride
    yield f"- Snippets: one every {stride:g} s, the first from {start:g} s to {start + stride:g} s."
    for key, what in (("feature", "the features"), ("source", "the source"), ("licence", "the licence")):
        if isinstance(said := data.about.get(key), str) and said.strip():
            yield f"- What the data set says of {what}: {escape_markdown(abbreviate(said, 500))}"


def _how(card: Card) -> Iterator[str]:
    config = card.meta.config
    parts = config.method_spec
    local = "local enhancement" if parts.local else "no local enhancement"
    yield f"- Method: {code_span(config.method)} ({local}, {MEMORY[parts.memory]}, {TEACHER[parts.teacher]})."
    yield (
        f"- {card.meta.step:,} of {config.train.steps:,} steps, batches of {config.train.batch_size}, "
        f"seed {config.train.seed}, wtal {card.version}. The weights are their running average at the last step; "
        f"no score chose them."
    )
    changed = ", ".join(code_span(f"{name} = {value}") for name, value in non_default_settings(config).items())
    yield f"- Settings that differ from the defaults of wtal {__version__}: {changed or 'none'}."


def _scored(card: Card) -> Iterator[str]:
    for result in card.results:
        averages = [result.average(low, high) for low, high in result.averages]
        spans = [f"{low:g} to {high:g}" for low, high in result.averages]
        what = f"subset {escape_markdown(quote_subset(result.subset))}, checkpoint {escape_markdown(result.checkpoint)}"
        yield f"Mean average precision (mAP) in percent, protocol {code_span(result.protocol)}, {what}:"
        yield ""
        percent = [f"{100 * value:.1f}" for value in [*result.map, *averages]]
        yield from markdown_table(["tIoU", *(f"{t:g}" for t in result.tious), *spans], [["mAP", *percent]])
        yield ""
        count, *notes = summary_lines(result)
        yield f"- Counted: {escape_markdown(count)}."
        yield from (f"- Note: {escape_markdown(note)}." for note in notes)
        yield ""
    yield from _spread(card) if card.scores else ["Another seed may score otherwise; no spread is known."]


def _spread(card: Card) -> Iterator[str]:
    tious = card.results[0].tious
    yield (
        f"Models trained alike from several seeds, this one from seed {card.meta.config.train.seed}: the same mAP "
        f"averaged over tIoU {tious[0]:g} to {tious[-1]:g}, mean ± standard deviation over the seeds:"
    )
    yield ""
    seeds = [", ".join(f"{value:.1f}" for value in score.averages) for score in card.scores]
    means = [f"{s.mean:.1f} ± {s.spread:.1f}" if len(s.averages) > 1 else f"{s.mean:.1f}" for s in card.scores]
    rows = [[escape_markdown(s.method), mean, each] for s, mean, each in zip(card.scores, means, seeds, strict=True)]
    yield from markdown_table(["method", "mAP", "seed by seed"], rows)


def _limits(card: Card) -> Iterator[str]:
    yield "- It knows these classes and no others: whatever else happens is background, or taken for one of them."
    yield "- It fits features of the very kind that it was trained on. Others of the same width give nonsense."
    yield (
        "- It learned from tags alone: its starts and ends are guesses from what tells the tagged sequences apart. "
        "What always comes along with a class may be taken for it."
    )
    yield "- The score of a proposal ranks it; it is no probability."
    if card.results:
        yield "- The result holds for what was counted, as its notes say; where that is little, others may differ."
    else:
        yield "- How good it is, nobody knows."
