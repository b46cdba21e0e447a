"""The public API: everything in `dir(wtal)` exists, is documented, and its examples run."""

import doctest
import inspect
import shutil

import pytest

import wtal
from tests.helpers.data import TINIEST
from wtal.data.synthetic.features import write_synthetic

NAMES = [name for name in dir(wtal) if name != "__version__"]
SMALL = wtal.parse_config({"model": {"width": 8}, "train": {"steps": 2, "batch_size": 2}, "teacher": {"models": 1}})
FUNCTIONS = [name for name in NAMES if inspect.isfunction(getattr(wtal, name))]


def test_dir_lists_the_public_names():
    assert set(dir(wtal)) == set(wtal.__all__)
    expected = {"Localizer", "train", "predict", "evaluate", "compare", "load_dataset", "extract_features"}
    assert expected | {"Video", "Segment", "SnippetClock", "WtalError"} <= set(dir(wtal))


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        wtal.nothing  # noqa: B018  # the access itself is tested


def test_paths_may_be_strings(tmp_path):
    (tmp_path / "config.toml").write_text("method = 'local'\n")
    assert wtal.read_config(str(tmp_path / "config.toml")).method == "local"
    with pytest.raises(wtal.DataError, match="nowhere: no such folder"):
        wtal.load_dataset("nowhere")


def test_compare_accepts_the_name_of_one_method(tmp_path):
    with pytest.raises(wtal.ConfigError, match="method 'nowhere'"):
        wtal.compare(tmp_path, tmp_path / "out", methods="nowhere")


@pytest.mark.parametrize("name", NAMES)
def test_public_names_are_documented(name):
    documented = getattr(wtal, name)
    assert inspect.getdoc(documented)
    if name in FUNCTIONS:
        parameters = inspect.signature(documented).parameters
        assert all(f"{parameter}:" in documented.__doc__ for parameter in parameters), "a parameter is not documented"
        assert "Returns:" in documented.__doc__ and "Raises:" in documented.__doc__


@pytest.fixture(scope="module")
def folder(own_videos, tmp_path_factory):
    """A folder with what the examples use: `mydata`, `runs/mine`, `proposals.json`, `garden.mp4`."""
    folder = tmp_path_factory.mktemp("examples")
    write_synthetic(folder / "mydata", TINIEST)
    wtal.train(folder / "mydata", folder / "features_run", SMALL)
    wtal.localize(folder / "features_run", folder / "mydata", folder / "proposals.json")
    shutil.copytree(own_videos / "run", folder / "runs" / "mine")
    shutil.copy(own_videos / "videos" / "film 0.mp4", folder / "garden.mp4")
    return folder


@pytest.mark.parametrize("name", FUNCTIONS)
def test_examples_run(name, folder, monkeypatch, tmp_path):
    examples = doctest.DocTestFinder(recurse=False).find(getattr(wtal, name), name)
    statements = "".join(example.source for test in examples for example in test.examples)
    assert statements, "no example"
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    if name == "train":
        shutil.rmtree(tmp_path / "runs")
    if name == "localize":  # needs a model that was trained on features like those of the data set
        shutil.rmtree(tmp_path / "runs" / "mine")
        shutil.copytree(folder / "features_run", tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    for module in ("pipeline", "compare"):  # the examples use the defaults, which take too long for a test
        monkeypatch.setattr(f"wtal.experiments.{module}.Config", lambda: SMALL)
    exec(statements, {"wtal": wtal})
