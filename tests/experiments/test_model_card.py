"""A model card says what is known of a model and what is not, whatever the names in it look like."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from wtal import Localizer, __version__
from wtal.core.clock import SnippetClock
from wtal.core.config import Config
from wtal.core.errors import CheckpointError
from wtal.core.methods import METHODS
from wtal.data.dataset import Dataset
from wtal.data.provenance import Provenance
from wtal.evaluation.protocols import COMPARISON_TIOUS, EvaluationOptions
from wtal.evaluation.results import EvaluationCounts, EvaluationResult
from wtal.experiments.model_card import Card, TrainingData, card_text, training_data, write_card
from wtal.experiments.pipeline import evaluate_file, localize_run, train_run
from wtal.experiments.statistics import Score
from wtal.models import checkpoint
from wtal.training.trainer import train

META = checkpoint.ModelMetadata(Config(), ("jump", "throw"), (6, 4), SnippetClock(0.64, 0.32), 500)
DATA = TrainingData("hapt", 249, 6, {"feature": "statistics", "licence": "CC BY 4.0", "source": 3})
RESULT = EvaluationResult(
    protocol="activitynet",
    subset="testing",
    tious=COMPARISON_TIOUS,
    map=(0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1),
    averages=((0.1, 0.5), (0.1, 0.7)),
    per_class={"jump": (0.4,) * 7},
    instances_per_class={"jump": 9},
    counts=EvaluationCounts(48, 202, 9667),
    notes=("no proposal at all for throw, scored 0 each",),
    checkpoint="last",
)
SCORES = (
    Score("hapt", "baseline", (30.0, 31.0), ((0.3,) * 7,) * 2),
    Score("hapt", "dfe", (55.5, 58.5), ((0.5,) * 7,) * 2),
)
HEADINGS = ["What it was trained on", "How", "Result", "Limits", "Use", "Cite"]
HOSTILE = [
    "a\nb",
    "---",
    "\n---\nlicense: mit\n",
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
]
NAMES = st.lists(st.one_of(st.text(st.characters(), min_size=1), st.sampled_from(HOSTILE)), min_size=1, max_size=6)


def card(**changes) -> Card:
    data = changes.pop("data", None) or replace(DATA, **changes.pop("about_data", {}))
    return Card(replace(META, **changes.pop("meta", {})), "0.1.0", data, **changes)


def body(text: str) -> str:
    return text.split("\n---\n", 1)[1]


def front(text: str) -> dict[str, object]:
    assert text.startswith("---\n")
    return yaml.safe_load(text[4:].split("\n---\n", 1)[0])


def tokens(text: str) -> list:
    parsed = MarkdownIt().enable("table").parse(body(text))
    return [inner for token in parsed for inner in [token, *(token.children or [])]]


def headings(text: str) -> list[str]:
    found = tokens(text)
    return [after.content for token, after in pairwise(found) if token.type == "heading_open"]


def shape(text: str) -> list[str]:
    """How a card is built, whatever is written in it."""
    return [token.type for token in MarkdownIt().enable("table").parse(body(text))]


def dressed(text: str) -> list[str]:
    """What stands in the text but words: emphasis, links, pictures, HTML."""
    return [token.type for token in tokens(text) if token.type not in ("text", "code_inline", "text_special")]


def seen(text: str) -> str:
    """What a reader sees, without what it is dressed in."""
    return " ".join(token.content for token in tokens(text) if token.type in ("text", "code_inline", "fence"))


@given(NAMES)
@example(HOSTILE)
def test_no_class_name_breaks_the_front_matter_or_the_text(names):
    text = card_text(card(meta={"classes": tuple(names)}))
    text.encode()
    meta = front(text)
    assert meta["classes"] == names and meta["library_name"] == "wtal" and "license" not in meta
    assert headings(text)[1:] == HEADINGS and shape(text) == shape(card_text(card()))
    assert dressed(text) == dressed(card_text(card()))


@given(st.text(st.characters(), max_size=40))
@example("\n# x\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
@example("> x\n- y <b>z</b> $1$ [a](b)")
def test_nor_does_what_others_said(said):
    about = {"feature": said, "licence": said, "source": said}
    changed = replace(RESULT, notes=(said,), checkpoint=said, subset=said, protocol=said)
    text = card_text(card(about_data={"name": said, "about": about}, results=(changed,), scores=SCORES))
    plain_about = {"feature": "x", "licence": "x", "source": "x"} if said.strip() else {}
    plain = card_text(card(about_data={"about": plain_about}, results=(RESULT,), scores=SCORES))
    assert shape(text) == shape(plain) and dressed(text) == dressed(plain)


def test_it_says_what_the_model_learned_from():
    said = seen(card_text(card(meta={"held_out": ("a", "b")})))
    for fact in ("hapt", "249 training sequences", "6 of them without any label", "2 more were held out"):
        assert fact in said
    for fact in ("Classes (2)", "jump", "throw", "6 + 4 numbers a snippet", "one every 0.64 s", "0.32 s to 0.96 s"):
        assert fact in said
    assert "statistics" in said and "CC BY 4.0" in said and "not written down" in said
    assert "of the source" not in said  # which is no text


def test_it_names_the_backbone_where_it_is_known():
    i3d = Provenance("i3d", "sha256:" + "0" * 64, 25, 16, 16, 256, 224)
    text = card_text(card(meta={"provenance": i3d}))
    assert f"from {i3d}" in seen(text) and "wtal predict video.mp4" in text
    assert "wtal predict" not in card_text(card())


def test_it_says_what_differs_from_the_defaults_and_nothing_else():
    assert "defaults of wtal " + __version__ + ": none." in card_text(card())
    config = Config.model_validate(
        {"method": "local", "train": {"seed": 3, "steps": 60}, "model": {"dilations": [1, 2]}}
    )
    text = card_text(card(meta={"config": config, "step": 40}))
    assert "`model.dilations = [1, 2]`, `train.steps = 60`." in text
    assert "40 of 60 steps" in text and "seed 3" in text and "`local` (local enhancement, no memory" in text


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_told(method):
    assert f"Method: `{method}` (" in card_text(card(meta={"config": Config(method=method)}))


def test_a_model_that_was_not_scored_says_so():
    text = card_text(card())
    assert "**Not scored.**" in text and "How good it is, nobody knows." in text and "mAP" not in text


def test_a_result_travels_with_all_that_it_needs():
    text = card_text(card(results=(RESULT,)))
    said = seen(text)
    assert "Not scored" not in text and "no spread is known" in text
    for fact in ("activitynet", '"testing"', "checkpoint last", "48 videos, 202 instances", *RESULT.notes):
        assert fact in said
    assert "| mAP | 70.0 | 60.0 | 50.0 | 40.0 | 30.0 | 20.0 | 10.0 | 50.0 | 40.0 |" in text


def test_the_spread_over_seeds_stands_beside_the_result():
    text = card_text(card(results=(RESULT,), scores=SCORES))
    assert "| baseline | 30.5 ± 0.7 | 30.0, 31.0 |" in text and "| dfe | 57.0 ± 2.1 | 55.5, 58.5 |" in text
    alone = card_text(card(results=(RESULT,), scores=(replace(SCORES[1], averages=(55.5,)),)))
    assert "| dfe | 55.5 | 55.5 |" in alone  # one seed has no spread


def test_it_cites_the_paper_and_claims_none_of_its_numbers():
    text = card_text(card(results=(RESULT,)))
    assert "Dual-Feature Enhancement for Weakly Supervised Temporal Action Localization" in text
    assert "10096383" in text and "ICASSP 2023" in text and "No number on this card is the paper's." in text


def test_the_python_on_it_runs(tiny, tmp_path, settings, monkeypatch):
    run = tmp_path / "run"
    train(settings(train={"steps": 2}), tiny, run, device="cpu")
    text = write_card(run, tiny).read_text(encoding="utf-8")
    (tmp_path / "this").mkdir()
    checkpoint.latest_checkpoint(run).rename(tmp_path / "this/folder")
    monkeypatch.chdir(tmp_path)
    np.save("features.npy", tiny.features(tiny.videos[0].id))
    names: dict[str, object] = {}
    exec(text.split("```python\n")[1].split("```")[0], names)
    assert isinstance(names["localizer"], Localizer) and isinstance(names["proposals"], list)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_is_the_same_with_its_card(tiny: Dataset, tmp_path, settings):
    run, config = tmp_path / "run", settings(train={"steps": 4, "save_every": 2})
    last = train_run(tiny.path, run, config, device="cpu")
    before = files(last)
    assert "Not scored" in (last / "README.md").read_text(encoding="utf-8")
    assert write_card(run, tiny) == last / "README.md" and files(last) == before
    assert checkpoint.read_meta(run) == checkpoint.read_meta(last)
    assert train_run(tiny.path, run, config, resume=True, device="cpu") == last  # nothing left to do
    assert files(last) == before
    result = evaluate_run(run, tiny, tmp_path / "p.json")
    text = write_card(run, tiny, [result]).read_text(encoding="utf-8")
    assert result.protocol in text and "Not scored" not in text
    train_run(tiny.path, run, config, resume=True, device="cpu")
    assert (last / "README.md").read_text(encoding="utf-8") == text  # the score stays
    assert "2 training sequences" not in text and f"{len(tiny.subset('training'))} training sequences" in text
    assert front(text)["classes"] == list(tiny.classes)


def evaluate_run(run: Path, folder: Dataset, proposals: Path) -> EvaluationResult:
    localize_run(run, folder.path, "testing", proposals)
    return evaluate_file(
        proposals, folder.path, EvaluationOptions(tious=COMPARISON_TIOUS, subset="testing", checkpoint="last")
    )


def test_a_card_of_an_older_checkpoint_goes_with_it(tiny, tmp_path, settings):
    config = settings(train={"steps": 4, "save_every": 2})

    def stop(step, terms):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tiny, tmp_path, device="cpu", on_progress=stop)
    old = write_card(tmp_path, tiny)
    assert "2 of 4 steps" in old.read_text(encoding="utf-8")
    last = train(config, tiny, tmp_path, resume=True, device="cpu")
    assert not old.exists() and [p.name for p in tmp_path.glob("checkpoint-*")] == [last.name]


def test_held_out_sequences_are_not_trained_on(tiny):
    ids = tuple(v.id for v in tiny.subset("training")[:3])
    data = training_data(tiny, replace(META, held_out=ids))
    assert data.sequences == len(tiny.subset("training")) - 3 and data.name == tiny.path.name


def test_a_strange_version_is_not_repeated(tiny, tmp_path, settings):
    last = train(settings(train={"steps": 2}), tiny, tmp_path, device="cpu")
    values = json.loads((last / "config.json").read_text())
    (last / "config.json").write_text(json.dumps({**values, "wtal": "```\n# x"}))
    assert "wtal unknown." in write_card(tmp_path, tiny).read_text(encoding="utf-8")


def test_no_model_no_card(tiny, tmp_path):
    with pytest.raises(CheckpointError, match="no model to write a card for"):
        write_card(tmp_path, tiny)
