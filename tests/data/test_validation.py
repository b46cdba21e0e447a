"""`validate_dataset` reports every problem of a data set folder, with its path."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.data.dataset import load_dataset, write_dataset_info
from wtal.data.problems import Problem, raise_first
from wtal.data.validation import ValidationReport, require_valid_features, validate_dataset
from wtal.reporting.tables import open_output
from wtal.reporting.validation_tables import validation_blocks


def entry(subset="training", duration=10.0, annotations=({"label": "run"},)):
    return {"subset": subset, "duration": duration, "annotations": list(annotations)}


def segment(start, end, label="run"):
    return {"label": label, "segment": [start, end]}


def annotate(folder: Path, **entries: object) -> None:
    (folder / "annotations.json").write_text(json.dumps({"database": entries}), encoding="utf-8")


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two valid videos of ten snippets, one per second."""
    (tmp_path / "features").mkdir()
    for id in ("a", "b"):
        np.save(tmp_path / "features" / f"{id}.npy", np.ones((10, 4), dtype=np.float16))
    info = {"snippet_seconds": 1.0, "offset_seconds": 0.0, "classes": ["run", "jump"]}
    (tmp_path / "dataset.json").write_text(json.dumps(info))
    a = entry(annotations=[{"label": "run"}, {"label": "jump"}])
    annotate(tmp_path, a=a, b=entry("testing", annotations=[segment(1, 3)]))
    return tmp_path


def codes(report: ValidationReport) -> set[tuple[str, str | None, str, bool]]:
    """(path relative to the folder, location, code, fatal) of each problem."""
    return {
        (Path(p.path or "").relative_to(report.path).as_posix(), p.location, p.code, p.fatal) for p in report.problems
    }


def rendered(report: ValidationReport) -> str:
    out = io.StringIO()
    with open_output(Console(file=out, width=200)) as output:
        output.print(validation_blocks(report))
    return out.getvalue()


def test_valid_data_set_is_summarized(folder):
    report = validate_dataset(folder)
    assert not report.problems and not report.fatal and report.width == 4
    training, testing = report.subsets
    assert (training.name, training.sequences, training.instances) == ("training", 1, 0)
    assert training.snippets == (10, 10, 10) and training.with_labels == (0, 0, 1)
    assert testing.sequences_of == {"run": 1, "jump": 0} and testing.hours == pytest.approx(10 / 3600)


@pytest.mark.parametrize(
    "array, code, fatal",
    [
        (np.ones((10, 5)), "invalid-shape", True),
        (np.ones((10, 4)) * np.nan, "non-finite", True),
        (np.ones((0, 4)), "no-snippets", True),
        (np.ones((1, 4)), "too-short", False),
        (np.ones((13, 4)), "duration-mismatch", False),
        (np.array([None]), "pickled-objects", True),
    ],
)
def test_invalid_features_are_reported(folder, array, code, fatal):
    np.save(folder / "features" / "b.npy", array, allow_pickle=True)
    report = validate_dataset(folder)
    assert ("features/b.npy", None, code, fatal) in codes(report) and report.fatal == fatal


def test_features_of_another_width_are_reported_wherever_they_are(folder):
    for id in "acdef":
        np.save(folder / "features" / f"{id}.npy", np.ones((10, 4), dtype=np.float16))
    np.save(folder / "features" / "a.npy", np.ones((10, 5)))
    annotate(folder, **{id: entry() for id in "abcdef"})
    report = validate_dataset(folder)
    assert report.width == 4
    invalid = {("features/a.npy", None, "invalid-shape", True)}
    assert {problem for problem in codes(report) if problem[3]} == invalid
    dataset = load_dataset(folder)
    with raises(DataError, code="invalid-shape", path=dataset.features_path("a")):
        require_valid_features(dataset, dataset.videos)

    info = json.loads((folder / "dataset.json").read_text()) | {"modalities": [2, 3]}
    (folder / "dataset.json").write_text(json.dumps(info))
    invalid.add(("dataset.json", None, "invalid-shape", True))
    assert {problem for problem in codes(validate_dataset(folder)) if problem[3]} == invalid


def test_all_problems_are_reported_at_once(folder):
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
    report = validate_dataset(folder)
    assert codes(report) == {
        ("features/a.npy", None, "file-not-found", True),
        ("features/b.npy", None, "empty-file", True),
        ("features/c.npy", None, "file-not-found", True),
        ("features/stray.npy", None, "unused-file", False),
        ("annotations.json", "b, annotation 1", "invalid-value", True),
        ("annotations.json", "c, annotation 2", "missing-key", True),
        ("annotations.json", "c, annotation 3", "invalid-value", True),
        ("annotations.json", "../d", "invalid-value", True),
        (".", "'../d'", "invalid-id", True),
        (".", "c", "unknown-name", True),
        (".", "b", "invalid-segment", True),  # before the start, after the end
        (".", "b", "invalid-segment", False),  # empty
        (".", None, "training-segments", False),
        (".", None, "unknown-name", False),  # the subset
        (".", None, "unused-class", False),
    }
    assert all(problem.hint for problem in report.problems)
    fatal = [problem.fatal for problem in report.problems]
    assert fatal == sorted(fatal, reverse=True), "fatal problems come first"


def test_published_segment_after_the_end_is_a_remark(folder):
    annotate(folder, a=entry(), b=entry("testing", annotations=[segment(8, 40), segment(9, 10.5)]))
    assert validate_dataset(folder).fatal
    info = json.loads((folder / "dataset.json").read_text()) | {"beyond_duration": True, "classes": ["run"]}
    (folder / "dataset.json").write_text(json.dumps(info))
    assert codes(validate_dataset(folder)) == {(".", "b", "invalid-segment", False)}


def test_wrong_snippet_duration_is_reported_once(folder):
    for id in "cdef":
        np.save(folder / "features" / f"{id}.npy", np.ones((10, 4), dtype=np.float16))
    annotate(folder, **{id: entry(duration=5.0) for id in "abcdef"})
    (problem,) = [p for p in validate_dataset(folder).problems if p.code == "duration-mismatch"]
    assert problem.path == folder / "dataset.json"
    assert "6 of 6" in problem.message and "0.5" in (problem.hint or "")


def test_data_set_before_extraction_has_one_error(folder):
    (folder / "videos.json").write_text("{}")
    shutil.rmtree(folder / "features")
    info = {"snippet_seconds": None, "classes": ["run", "jump"]}
    (folder / "dataset.json").write_text(json.dumps(info))
    assert codes(validate_dataset(folder)) == {(".", None, "no-features", True)}


def test_training_videos_without_labels_are_reported(folder):
    annotate(folder, a=entry(annotations=[]), b=entry("testing"))
    assert (".", None, "no-labels", True) in codes(validate_dataset(folder))


def test_empty_training_subset_is_reported(folder):
    annotate(folder, b=entry("testing", annotations=[segment(1, 3)]))
    assert (".", None, "no-training", False) in codes(validate_dataset(folder))


def test_similar_class_names_are_reported(folder):
    (folder / "dataset.json").write_text(json.dumps({"snippet_seconds": 1, "classes": ["run", "Run ", "jump"]}))
    assert (".", None, "similar-names", False) in codes(validate_dataset(folder))


def test_both_text_files_are_reported(folder):
    (folder / "annotations.json").write_text('{"database": {"a": {"sub')
    (folder / "dataset.json").unlink()
    assert codes(validate_dataset(folder)) == {
        ("annotations.json", "line 1", "invalid-json", True),
        ("dataset.json", None, "file-not-found", True),
    }


@pytest.mark.parametrize("name, code", [("none", "file-not-found"), ("dataset.json", "not-a-directory")])
def test_path_that_is_not_a_folder_is_rejected(folder, name, code):
    with raises(DataError, code=code, path=folder / name):
        validate_dataset(folder / name)


def test_labels_are_not_rendered_as_markup(folder):
    annotate(folder, a=entry(annotations=[{"label": "[red]x[/nothing]"}]), b=entry("[bold]"))
    assert "[red]x[/nothing]" in rendered(validate_dataset(folder))


def test_first_fatal_problem_is_raised_with_count_of_others():
    error = DataError("is bad", path="a.json", location="line 3", hint="fix it", code="invalid-value")
    problem = Problem.from_error(error)
    assert str(problem) == str(error) == "a.json, line 3: is bad; fix it"
    remark = Problem("is odd", fatal=False)
    raise_first([remark])
    with raises(DataError, code="invalid-value", path="a.json", location="line 3") as caught:
        raise_first([remark, problem, problem, remark, problem])
    assert "2 more" in str(caught.value) and caught.value.message == "is bad"


def test_times_after_the_features_of_a_video_of_unknown_duration_are_reported(tiny, tmp_path):
    (tmp_path / "features").symlink_to(tiny.path / "features")
    write_dataset_info(tmp_path, [], tiny.clock, tiny.classes, tiny.modalities)
    (tmp_path / "annotations.json").unlink()
    rows = "training_0000,throw@3;throw@400\ntraining_0002,jump[2 to 400]\ntraining_0003,jump[400 to 500]\n"
    (tmp_path / "tags.csv").write_text(f"video,labels\n{rows}")
    problems = [p for p in validate_dataset(tmp_path).problems if p.code == "invalid-segment"]
    assert [(problem.location, problem.fatal) for problem in problems] == [
        ("training_0000", False),
        ("training_0003", False),
    ]
