"""`inspect` finds everything that is wrong with a folder, each with its place."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from wtal.core.errors import DataError
from wtal.data.validation import ValidationReport, validate_dataset
from wtal.reporting.tables import render_validation

WORDS = {"label": "run"}


def entry(subset="training", duration=10.0, annotations=(WORDS,)):
    return {"subset": subset, "duration": duration, "annotations": list(annotations)}


def segment(start, end, label="run"):
    return {"label": label, "segment": [start, end]}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two good sequences, ten snippets of a second each."""
    (tmp_path / "features").mkdir()
    for id in ("a", "b"):
        np.save(tmp_path / "features" / f"{id}.npy", np.ones((10, 4), dtype=np.float16))
    about = {"snippet_seconds": 1.0, "offset_seconds": 0.0, "classes": ["run", "jump"]}
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    a = entry(annotations=[{"label": "run"}, {"label": "jump"}])
    annotate(tmp_path, a=a, b=entry("testing", annotations=[segment(1, 3)]))
    return tmp_path


def annotate(folder: Path, **entries: object) -> None:
    database = {"database": entries}
    (folder / "annotations.json").write_text(json.dumps(database), encoding="utf-8")


def said(report: ValidationReport) -> list[str]:
    return [f"{'error' if p.fatal else 'remark'}: {p}" for p in report.problems]


def shown(report: ValidationReport) -> str:
    out = io.StringIO()
    render_validation(report, Console(file=out, width=200))
    return out.getvalue()


def test_a_good_folder(folder):
    report = validate_dataset(folder)
    assert not report.problems and not report.fatal
    training, testing = report.subsets
    assert (training.name, training.sequences, training.instances) == ("training", 1, 0)
    assert training.snippets == (10, 10, 10) and training.with_labels == (0, 0, 1)
    assert testing.sequences_of == {"run": 1, "jump": 0} and testing.hours == pytest.approx(10 / 3600)
    assert report.width == 4
    assert "ready to train" in shown(report)


@pytest.mark.parametrize(
    "array, expected",
    [
        (np.ones((10, 5)), "error: {}/features/b.npy: 5 numbers a snippet where 4 are expected"),
        (np.ones((10, 4)) * [[np.nan]] * 1, "error: {}/features/b.npy: snippets 0-9 (10 in all) are NaN"),
        (np.ones((0, 4)), "error: {}/features/b.npy: has 0 snippets"),
        (np.ones((1, 4)), "remark: {}/features/b.npy: has 1 snippet"),
        (np.ones((13, 4)), "remark: {}/features/b.npy: 13 snippets, but the duration of 10 s makes 10.0"),
        (np.array([None]), "error: {}/features/b.npy: holds Python objects"),
    ],
)
def test_faulty_features(folder, array, expected):
    np.save(folder / "features" / "b.npy", array, allow_pickle=True)
    assert any(line.startswith(expected.format(folder)) for line in said(validate_dataset(folder)))


def test_everything_is_found_at_once(folder):
    (folder / "features" / "a.npy").unlink()
    (folder / "features" / "b.npy").write_bytes(b"")
    np.save(folder / "features" / "stray.npy", np.ones((3, 4)))
    annotate(
        folder,
        a=entry(annotations=[segment(0, 1)]),
        b=entry("testing", annotations=[segment(5, 3), segment(-1, 2), segment(8, 40), segment(4, 4)]),
        c=entry("Val", annotations=[{"label": "swim"}, {"label": ""}, {"label": "run", "segment": [1]}]),
        **{"../d": entry("holdout", duration=-1)},
    )
    lines = "\n".join(said(validate_dataset(folder)))
    for part in (
        "features/a.npy: there is no such feature file",
        "features/b.npy: the file is empty",
        "remark: " + str(folder / "features" / "stray.npy"),
        "remark: " + f"{folder}: 1 training sequences carry segments",
        "b, annotation 1: ends at 3.0 s before it starts at 5.0 s",
        "run from -1 to 2 s starts before the sequence",
        "run from 8 to 40 s goes beyond the duration of 10 s",
        "run from 4 to 4 s has no length",
        "c: unknown label 'swim'",
        "c, annotation 2: has no label",
        "c, annotation 3: segment is [1]",
        "../d: duration is -1",
        "'../d': the id cannot be a file name",
        "subset 'holdout' is none that is used",
        "class 'jump' never occurs in training",
    ):
        assert part in lines


def test_published_overshoot_is_a_remark(folder):
    annotate(folder, a=entry(), b=entry("testing", annotations=[segment(8, 40), segment(9, 10.5)]))
    assert validate_dataset(folder).fatal
    about = json.loads((folder / "dataset.json").read_text()) | {"beyond_duration": True, "classes": ["run"]}
    (folder / "dataset.json").write_text(json.dumps(about))
    report = validate_dataset(folder)
    assert len(report.problems) == 1 and not report.fatal


def test_a_wrong_stride_is_said_once(folder):
    for id in "cdef":
        np.save(folder / "features" / f"{id}.npy", np.ones((10, 4), dtype=np.float16))
    annotate(folder, **{id: entry(duration=5.0) for id in "abcdef"})
    lines = [line for line in said(validate_dataset(folder)) if "snippet_seconds" in line]
    assert len(lines) == 1 and "6 of 6" in lines[0] and "suggest 0.5" in lines[0]


def test_training_without_any_label(folder):
    annotate(folder, a=entry(annotations=[]), b=entry("testing"))
    assert any("no training sequence has a label" in line for line in said(validate_dataset(folder)))


def test_names_that_look_alike(folder):
    about = {"snippet_seconds": 1, "classes": ["run", "Run ", "jump"]}
    (folder / "dataset.json").write_text(json.dumps(about))
    assert any("'run', 'Run ' differ by capitals" in line for line in said(validate_dataset(folder)))


def test_both_text_files_broken_are_both_said(folder):
    (folder / "annotations.json").write_text('{"database": {"a": {"sub')
    (folder / "dataset.json").unlink()
    report = validate_dataset(folder)
    assert [p.where.rpartition("/")[2] for p in report.problems if p.fatal] == [
        "annotations.json, line 1",
        "dataset.json",
    ]
    assert '{"snippet_seconds": 0.64,' in shown(report)


def test_a_missing_folder(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        validate_dataset(tmp_path / "none")


def test_what_files_say_is_never_markup(folder):
    annotate(folder, a=entry(annotations=[{"label": "[red]x[/nothing]"}]), b=entry("[bold]"))
    assert "[red]x[/nothing]" in shown(validate_dataset(folder))
