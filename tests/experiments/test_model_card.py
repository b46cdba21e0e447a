"""The model card: complete, valid Markdown and YAML whatever the names in it contain, and part of a run."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.helpers.errors import raises
from wtal import Localizer, __version__
from wtal.core.clock import SnippetClock
from wtal.core.config import Config
from wtal.core.errors import CheckpointError
from wtal.core.methods import METHODS
from wtal.data.dataset import Dataset
from wtal.data.provenance import Provenance
from wtal.evaluation.protocols import THUMOS14_TIOUS, EvaluationOptions
from wtal.evaluation.results import EvaluationCounts, EvaluationResult
from wtal.experiments.model_card import Card, TrainingData, card_text, training_data, write_card
from wtal.experiments.pipeline import evaluate, localize, train
from wtal.experiments.statistics import Score
from wtal.models import checkpoint

META = checkpoint.ModelMetadata(Config(), ("jump", "throw"), (6, 4), SnippetClock(0.64, 0.32), 500)
DATA = TrainingData("hapt", 249, 6, {"feature": "statistics", "licence": "CC BY 4.0", "source": 3})
RESULT = EvaluationResult(
    protocol="activitynet",
    subset="testing",
    tious=THUMOS14_TIOUS,
    map=(0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1),
    averages=((0.1, 0.5), (0.1, 0.7)),
    per_class={"jump": (0.4,) * 7},
    instances_per_class={"jump": 9},
    counts=EvaluationCounts(48, 202, 9667),
    notes=("no proposals for throw: average precision 0",),
    checkpoint="last",
)
SCORES = (
    Score("hapt", "baseline", (30.0, 31.0), ((0.3,) * 7,) * 2),
    Score("hapt", "dfe", (55.5, 58.5), ((0.5,) * 7,) * 2),
)
SECTIONS = ["Training data", "Training", "Results", "Limitations", "Use", "Citation"]
HOSTILE = [
    "a\nb",
    "---",
    "\n---\nlicense: mit\n",
    "\r---\rlicense: mit\r",
    "a|b",
    "`",
    "``` x",
    "<script>alert(1)</script>",
    "![x](http://x)",
    "# no heading",
    "{{version}}",
    "\\",
    '"',
    "lyhyt hyppy ✓ 跳远 \U0001f3c3",
    "\u2028\x85\x00\x7f\ufeff",
    "\ud800",
    "[a]: http://x",
    "&lt;",
    "  ",
    "yes",
    "word " * 40,
]
NAMES = st.lists(st.one_of(st.text(st.characters(), min_size=1), st.sampled_from(HOSTILE)), min_size=1, max_size=6)


def make_card(**changes) -> Card:
    data = changes.pop("data", DATA)
    return Card(replace(META, **changes.pop("meta", {})), "0.1.0", data, **changes)


def split_card(text: str) -> tuple[dict[str, object], str]:
    """The YAML metadata and the Markdown."""
    assert text.startswith("---\n")
    metadata, markdown = text[4:].split("\n---\n", 1)
    return yaml.safe_load(metadata), markdown


def block_types(text: str) -> list[str]:
    """The types of the Markdown blocks, whatever their text."""
    return [token.type for token in MarkdownIt().enable("table").parse(split_card(text)[1])]


def tokens(text: str) -> list:
    parsed = MarkdownIt().enable("table").parse(split_card(text)[1])
    return [inner for token in parsed for inner in [token, *(token.children or [])]]


def markup_types(text: str) -> list[str]:
    """All markup but plain text and code: emphasis, links, images, HTML."""
    return [token.type for token in tokens(text) if token.type not in ("text", "code_inline", "text_special")]


def headings(text: str) -> list[str]:
    return [following.content for token, following in pairwise(tokens(text)) if token.type == "heading_open"]


def visible_text(text: str) -> str:
    return " ".join(token.content for token in tokens(text) if token.type in ("text", "code_inline", "fence"))


@given(NAMES)
@example(HOSTILE)
@example(["\x85", "\u2028x"])
def test_class_names_cannot_break_metadata_or_markdown(names):
    text, plain_text = card_text(make_card(meta={"classes": tuple(names)})), card_text(make_card())
    text.encode()
    metadata, _ = split_card(text)
    assert metadata["classes"] == names and metadata["library_name"] == "wtal" and "license" not in metadata
    assert headings(text)[1:] == SECTIONS
    assert block_types(text) == block_types(plain_text) and markup_types(text) == markup_types(plain_text)


@given(st.text(st.characters(), max_size=40))
@example("\n# x\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
@example("> x\n- y <b>z</b> $1$ [a](b)")
def test_texts_from_files_cannot_break_markdown(text):
    data = TrainingData(text, 249, 6, {"feature": text, "licence": text, "source": text})
    result = replace(RESULT, notes=(text,), checkpoint=text, subset=text, protocol=text)
    card = card_text(make_card(data=data, results=(result,), scores=SCORES))
    about = {"feature": "x", "licence": "x", "source": "x"} if text.strip() else {}
    plain_card = card_text(make_card(data=replace(DATA, about=about), results=(RESULT,), scores=SCORES))
    assert block_types(card) == block_types(plain_card) and markup_types(card) == markup_types(plain_card)


def test_card_describes_training_data():
    text = visible_text(card_text(make_card(meta={"held_out": ("a", "b")})))
    for fact in ("hapt", "249 training videos", "6 of them", "2 more were held out", "Classes (2)", "jump", "throw"):
        assert fact in text
    for fact in ("6 + 4", "one every 0.64 s", "0.32 s to 0.96 s", "statistics", "CC BY 4.0", "backbone not recorded"):
        assert fact in text
    assert "Source" not in text  # it is not a text


def test_card_names_backbone_if_known():
    i3d = Provenance("i3d", "sha256:" + "0" * 64, 25, 16, 16, 256, 224)
    text = card_text(make_card(meta={"provenance": i3d}))
    assert f"from {i3d}" in visible_text(text) and "wtal predict video.mp4" in text
    assert "wtal predict" not in card_text(make_card())


def test_card_lists_settings_that_differ_from_defaults():
    assert f"defaults of wtal {__version__}: none." in card_text(make_card())
    config = Config.model_validate(
        {"method": "local", "train": {"seed": 3, "steps": 60}, "model": {"dilations": [1, 2]}}
    )
    text = card_text(make_card(meta={"config": config, "step": 40}))
    assert "`model.dilations = [1, 2]`, `train.steps = 60`." in text
    assert "40 of 60 steps" in text and "seed 3" in text and "`local` (local enhancement, no teacher" in text


@pytest.mark.parametrize("method", METHODS)
def test_card_describes_every_method(method):
    assert f"Method: `{method}` (" in card_text(make_card(meta={"config": Config(method=method)}))


@pytest.mark.parametrize("method", ["dfe", "supervised"])
def test_card_says_what_the_model_was_trained_on(method):
    text = card_text(make_card(meta={"config": Config(method=method)}))
    is_supervised = method == "supervised"
    assert ("true segments" in text) == is_supervised and ("video-level labels" in text) == (not is_supervised)
    assert ("weakly-supervised" in split_card(text)[0]["tags"]) == (not is_supervised)


def test_card_without_result_states_that_none_is_known():
    text = card_text(make_card())
    assert "**Not evaluated.**" in text and "accuracy of the model is not known" in text and "mAP" not in text


def test_card_with_result_names_protocol_subset_checkpoint_and_notes():
    text = card_text(make_card(results=(RESULT,)))
    assert "Not evaluated" not in text and "spread is not known" in text
    for fact in ("activitynet", '"testing"', "checkpoint last", "48 videos, 202 instances", "0.1:0.7", *RESULT.notes):
        assert fact in visible_text(text)
    assert "| mAP | 70.0 | 60.0 | 50.0 | 40.0 | 30.0 | 20.0 | 10.0 | 50.0 | 40.0 |" in text


def test_card_with_scores_shows_spread_over_seeds():
    text = card_text(make_card(results=(RESULT,), scores=SCORES))
    assert "| baseline | 30.5 ± 0.7 | 30.0, 31.0 |" in text and "| dfe | 57.0 ± 2.1 | 55.5, 58.5 |" in text
    single_seed = card_text(make_card(results=(RESULT,), scores=(replace(SCORES[1], averages=(55.5,)),)))
    assert "| dfe | 55.5 | 55.5 |" in single_seed


def test_card_cites_the_paper():
    text = card_text(make_card(results=(RESULT,)))
    assert "Dual-Feature Enhancement for Weakly Supervised Temporal Action Localization" in text
    assert "10096383" in text and "ICASSP 2023" in text


def test_python_example_on_card_runs(tiny, tmp_path, settings, monkeypatch):
    last = train(tiny.path, tmp_path / "run", settings(train={"steps": 2}), device="cpu")
    text = (last / "README.md").read_text(encoding="utf-8")
    (tmp_path / "this").mkdir()
    last.rename(tmp_path / "this/folder")
    monkeypatch.chdir(tmp_path)
    np.save("features.npy", tiny.features(tiny.videos[0].id))
    names: dict[str, object] = {}
    exec(text.split("```python\n")[1].split("```")[0], names)
    assert isinstance(names["localizer"], Localizer) and isinstance(names["segments"], list)


def test_card_is_part_of_a_run_and_keeps_its_result(tiny: Dataset, tmp_path, settings):
    run, config, proposals = tmp_path / "run", settings(train={"steps": 4, "save_every": 2}), tmp_path / "p.json"
    last = train(tiny.path, run, config, device="cpu")
    files = {path.name: path.read_bytes() for path in last.iterdir()}
    assert write_card(run, tiny) == last / "README.md"
    assert checkpoint.read_meta(run) == checkpoint.read_meta(last)
    assert train(tiny.path, run, config, resume=True, device="cpu") == last  # is finished
    assert {path.name: path.read_bytes() for path in last.iterdir()} == files
    localize(run, tiny.path, proposals)
    options = EvaluationOptions(subset="testing", checkpoint="last")
    text = write_card(run, tiny, [evaluate(proposals, tiny.path, options)]).read_text(encoding="utf-8")
    assert "protocol `general`" in text and "Not evaluated" not in text
    train(tiny.path, run, config, resume=True, device="cpu")
    assert (last / "README.md").read_text(encoding="utf-8") == text
    assert f"{len(tiny.subset('training'))} training videos" in text
    assert split_card(text)[0]["classes"] == list(tiny.classes)


def test_card_is_removed_with_its_checkpoint(tiny, tmp_path, settings):
    config = settings(train={"steps": 4, "save_every": 2})

    def interrupt(step, _):
        if step == 2 * 4 + 3:  # in stage two
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny.path, tmp_path, config, device="cpu", on_progress=interrupt)
    card = write_card(tmp_path, tiny)
    assert "2 of 4 steps" in card.read_text(encoding="utf-8")
    last = train(tiny.path, tmp_path, config, resume=True, device="cpu")
    assert not card.exists() and [path.name for path in tmp_path.glob("checkpoint-*")] == [last.name]


def test_held_out_videos_are_not_training_data(tiny):
    ids = tuple(video.id for video in tiny.subset("training")[:3])
    data = training_data(tiny, replace(META, held_out=ids))
    assert data.videos == len(tiny.subset("training")) - 3 and data.name == tiny.path.name


def test_invalid_version_is_not_shown(tiny, tmp_path, settings):
    last = train(tiny.path, tmp_path, settings(train={"steps": 2}), device="cpu")
    values = json.loads((last / "config.json").read_text())
    (last / "config.json").write_text(json.dumps({**values, "wtal": "```\n# x"}))
    assert "wtal unknown." in write_card(tmp_path, tiny).read_text(encoding="utf-8")


def test_folder_without_model_is_rejected(tiny, tmp_path):
    with raises(CheckpointError, code="no-checkpoint", path=tmp_path):
        write_card(tmp_path, tiny)
