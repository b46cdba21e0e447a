"""The model card: README.md in a checkpoint folder, with what the model is and what is known about it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from huggingface_hub.utils import yaml_dump

from wtal import __version__
from wtal.core.config import non_default_settings
from wtal.core.errors import CheckpointError
from wtal.core.io import read_json, write_text
from wtal.core.text import code_span, escape_markdown, markdown_table
from wtal.data.dataset import Dataset
from wtal.data.problems import abbreviate
from wtal.data.snippet_labels import describe_labels
from wtal.evaluation.results import EvaluationResult, format_range, quote_subset, summary_lines
from wtal.experiments.statistics import Score
from wtal.models.checkpoint import ModelMetadata, latest_checkpoint, read_meta

CARD_NAME = "README.md"
TASK = "temporal-action-localization"
MAX_ABOUT_LENGTH = 500  # characters of a text from dataset.json
MEMORY_TEXTS = {
    "written": "a memory of all training videos",
    "shuffled": "a memory with shuffled classes, as a control",
    "random": "a memory of random content, as a control",
    "own": "a memory of the own video only, as a control",
}
TEACHER_TEXTS = {
    "none": "no teacher",
    "memory": "distilled from {models} models and {memory}",
    "ensemble": "distilled from {models} models without a memory",
    "segments": "**fully supervised**: trained on true segments, as an upper bound",
}
LABEL_TEXTS = {
    "tags": "video-level labels only, without starts and ends",
    "points": "video-level labels, and on single times in instances of some videos",
    "segments": "video-level labels, and on starts and ends in some videos",
    "all": "video-level labels, and on starts and ends or single times of instances in some videos",
    "supervised": "true segments",
}
NOT_EVALUATED = (
    "**Not evaluated.** No result is recorded for this model. Use `wtal localize` and `wtal evaluate` to measure it on "
    "videos with annotated segments that were not used for training."
)
USE = """\
```python
import numpy as np, wtal
localizer = wtal.Localizer.from_pretrained("this/folder")
segments = localizer(np.load("features.npy"))  # label, start and end in seconds, score; by descending score
```

```sh
wtal localize this/folder DATASET --out proposals.json  # a data set folder with features of the same kind
```"""
USE_VIDEO = "\n\nFor video files, with the backbone installed: `wtal predict video.mp4 --model this/folder`."
CITE = """\
The method follows the abstract of this paper. No number on this card is taken from the paper.

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

Cite the authors of the data and of the backbone too. The owner of this model states its license."""


@dataclass(frozen=True)
class TrainingData:
    """The data set that a model was trained on."""

    name: str
    videos: int  # without held-out videos
    unlabeled: int  # videos among them that have no label
    about: Mapping[str, Any]  # dataset.json


@dataclass(frozen=True)
class Card:
    """The content of a card. `scores` have the data set, protocol, subset and checkpoint rule of `results[0]`."""

    meta: ModelMetadata
    version: str  # of wtal, when the model was trained
    data: TrainingData
    results: tuple[EvaluationResult, ...] = ()
    scores: tuple[Score, ...] = ()


def write_card(
    run: Path, dataset: Dataset, results: Sequence[EvaluationResult] = (), scores: Sequence[Score] = ()
) -> Path:
    """Write README.md to the last checkpoint of a run; an older card is replaced.

    Args:
        run: Run or model folder.
        dataset: The data set that the run was trained on.
        results: Results of the local branch of this model.
        scores: Scores of several methods over the seeds, under the protocol and subset of the first result.

    Returns:
        Path of the card.

    Raises:
        CheckpointError: There is no model.
        DataError: The card cannot be written.
    """
    folder = latest_checkpoint(run)
    if folder is None:
        raise CheckpointError(
            "no model to write a card for",
            path=run,
            hint="pass the folder given as --out to `wtal train`",
            code="no-checkpoint",
        )
    meta = read_meta(folder)
    card = Card(meta, _read_version(folder), training_data(dataset, meta), tuple(results), tuple(scores))
    write_text(folder / CARD_NAME, card_text(card))
    return folder / CARD_NAME


def training_data(dataset: Dataset, meta: ModelMetadata) -> TrainingData:
    """What a model was trained on."""
    videos = [video for video in dataset.subset("training") if video.id not in meta.held_out]
    unlabeled = sum(not video.labels for video in videos)
    return TrainingData(dataset.path.resolve().name, len(videos), unlabeled, dataset.about)


def card_text(card: Card) -> str:
    """Markdown with YAML metadata for the Hugging Face hub. Names from outside cannot break the format."""
    meta = card.meta
    supervision = meta.config.supervision
    kind = "fully" if _is_supervised(meta) else "weakly" if supervision in ("tags", "points") else "semi"
    tags = [TASK, f"{kind}-supervised"]
    learned_from = LABEL_TEXTS["supervised" if _is_supervised(meta) else supervision]
    metadata = ModelCardData(library_name="wtal", tags=tags, classes=list(meta.classes)).to_dict()
    # Without escapes, YAML reads a rare line break such as U+0085 in a name as a space
    yaml = yaml_dump(metadata, sort_keys=False, allow_unicode=all(map(str.isprintable, meta.classes))).strip()
    sections = {
        "Training data": _training_data(card),
        "Training": _training(card),
        "Results": _results(card) if card.results else [NOT_EVALUATED],
        "Limitations": _limitations(card),
        "Use": [USE + (USE_VIDEO if meta.provenance else "")],
        "Citation": [CITE.format(version=card.version)],
    }
    lines = [
        *("---", yaml, "---", ""),
        f"# Temporal action localization: {code_span(meta.config.method)} trained on {code_span(card.data.name)}",
        "",
        f"This model predicts **when** actions happen in untrimmed videos. From features (T snippets x "
        f"{sum(meta.modalities)}) it computes segments with label, start and end in seconds, and score. It was trained "
        f"on {learned_from}.",
    ]
    for title, body in sections.items():
        lines += ["", f"## {title}", "", *body]
    return "\n".join(lines) + "\n"


def _read_version(folder: Path) -> str:
    version = str(read_json(folder / "config.json").get("wtal"))
    return version if re.fullmatch(r"[0-9][\w.+-]{0,40}", version) else "unknown"


def _training_data(card: Card) -> Iterator[str]:
    meta, data = card.meta, card.data
    unlabeled = f", {data.unlabeled:,} of them without a label" if data.unlabeled else ""
    held_out = f"; {len(meta.held_out):,} more were held out" if meta.held_out else ""
    yield f"- Data set: {code_span(data.name)}, {data.videos:,} training videos{unlabeled}{held_out}."
    yield f"- Labels: {describe_labels(meta.label_counts)}."
    yield f"- Classes ({len(meta.classes)}): {', '.join(map(code_span, meta.classes))}."
    backbone = f"from {escape_markdown(str(meta.provenance))}" if meta.provenance else "backbone not recorded"
    yield f"- Features: {' + '.join(map(str, meta.modalities))} dimensions, {backbone}."
    start, stride = meta.clock.offset, meta.clock.stride
    yield f"- Snippets: one every {stride:g} s, the first from {start:g} s to {start + stride:g} s."
    for key, name in (("feature", "Features"), ("source", "Source"), ("licence", "License")):
        if isinstance(text := data.about.get(key), str) and text.strip():
            yield f"- {name} according to the data set: {escape_markdown(abbreviate(text, MAX_ABOUT_LENGTH))}"


def _training(card: Card) -> Iterator[str]:
    config = card.meta.config
    spec = config.method_spec
    local = "local enhancement" if spec.local else "no local enhancement"
    teacher = TEACHER_TEXTS[spec.teacher].format(models=config.teacher.models, memory=MEMORY_TEXTS[spec.memory])
    parts = "a network of its own" if spec.build else f"{local}, {teacher}"
    yield f"- Method: {code_span(config.method)} ({parts})."
    yield (
        f"- {card.meta.step:,} of {config.train.steps:,} steps, batch size {config.train.batch_size}, "
        f"seed {config.train.seed}, wtal {card.version}. The weights are the moving average at the last step; no score "
        f"selected them."
    )
    changed = ", ".join(code_span(f"{name} = {value}") for name, value in non_default_settings(config).items())
    yield f"- Settings that differ from the defaults of wtal {__version__}: {changed or 'none'}."


def _results(card: Card) -> Iterator[str]:
    for result in card.results:
        averages = [result.average(low, high) for low, high in result.averages]
        ranges = [format_range(low, high) for low, high in result.averages]
        yield (
            f"Mean average precision (mAP) in percent, protocol {code_span(result.protocol)}, "
            f"subset {escape_markdown(quote_subset(result.subset))}, checkpoint {escape_markdown(result.checkpoint)}:"
        )
        yield ""
        percent = [f"{100 * value:.1f}" for value in [*result.map, *averages]]
        yield from markdown_table(["tIoU", *(f"{tiou:g}" for tiou in result.tious), *ranges], [["mAP", *percent]])
        yield ""
        summary, *notes = summary_lines(result)
        yield f"- Evaluated: {escape_markdown(summary)}."
        yield from (f"- Note: {escape_markdown(note)}." for note in notes)
        yield ""
    yield from _scores(card) if card.scores else ["Other seeds may score differently; the spread is not known."]


def _scores(card: Card) -> Iterator[str]:
    yield (
        f"Models trained with several seeds (this one: seed {card.meta.config.train.seed}), mAP averaged over tIoU "
        f"{card.results[0].tiou_range}, mean ± standard deviation over the seeds:"
    )
    yield ""
    rows = []
    for score in card.scores:
        mean = f"{score.mean:.1f} ± {score.spread:.1f}" if len(score.averages) > 1 else f"{score.mean:.1f}"
        rows.append([escape_markdown(score.method), mean, ", ".join(f"{value:.1f}" for value in score.averages)])
    yield from markdown_table(["method", "mAP", "each seed"], rows)


def _is_supervised(meta: ModelMetadata) -> bool:
    """Whether the model was trained on true segments."""
    return meta.config.method_spec.teacher == "segments"


def _limitations(card: Card) -> Iterator[str]:
    yield "- The model knows only these classes. Other actions are predicted as background or as one of the classes."
    yield "- It works only with features of the same kind as in training. Other features give wrong results."
    if card.meta.config.supervision == "tags":
        yield (
            "- It was trained on video-level labels, so starts and ends are inferred from what distinguishes the "
            "videos of a class. Context that always appears together with a class may be predicted as part of it."
        )
    yield "- Scores rank the segments; they are not probabilities."
    if card.results:
        yield "- The results hold for the evaluated videos. With few videos, results on other videos may differ."
    else:
        yield "- The accuracy of the model is not known."
