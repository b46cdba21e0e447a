"""Links, code samples, commands and quoted messages of the documentation are correct."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from pydoc import locate
from unicodedata import normalize
from unittest import mock

import pytest
from typer.main import get_command

from docs.tables import BLOCK, TABLES, with_tables
from tests.helpers.data import TINIEST
from wtal.cli import app
from wtal.core.config import parse_config
from wtal.data.annotations.registry import FORMATS
from wtal.data.layouts.registry import LAYOUTS
from wtal.data.synthetic.features import write_synthetic
from wtal.experiments.pipeline import localize, train
from wtal.training.losses import LOSSES
from wtal.video.backbones.registry import BACKBONES

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
README = ROOT / "README.md"
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```\s*?$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
COMMANDS = get_command(app).commands


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> str:
    """The text of a page, with included files inserted (speed.md includes benchmarks/RESULTS.md)."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r'^--8<-- "(.+)"$', lambda include: read(ROOT / include[1]), text, flags=re.MULTILINE)


def fences(text: str, language: str) -> list[str]:
    return [body for _, name, body in FENCE.findall(text) if name == language]


def outside_fences(text: str) -> str:
    return FENCE.sub("", text)


def without_code(text: str) -> str:
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", outside_fences(text))


def anchors(text: str) -> set[str]:
    """Anchors of the headings and of the objects that mkdocstrings documents."""
    names = set(DIRECTIVE.findall(text))
    for title in re.findall(r"^#+ +(.+?) *$", outside_fences(text), re.MULTILINE):
        plain = normalize("NFKD", title).encode("ascii", "ignore").decode()
        names.add(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower()))
    return names


def navigation_pages(entries: list[dict]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            yield from navigation_pages(value) if isinstance(value, list) else [value]


CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
NAVIGATION = list(navigation_pages(CONFIG["project"]["nav"]))


def test_navigation_lists_all_pages():
    """Experiments are listed by their index."""
    pages = {str(path.relative_to(ROOT / "docs")) for path in PAGES}
    listed = {f"experiments/{name}" for name in LINK.findall(read(ROOT / "docs" / "experiments" / "index.md"))}
    assert len(NAVIGATION) == len(set(NAVIGATION))
    assert set(NAVIGATION) | listed == pages


def test_extras_that_are_named_exist():
    """`pip install 'wtal[NAME]'` in messages, README and documentation."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    sources = [README, *PAGES, *(ROOT / "wtal").rglob("*.py")]
    named = {name for path in sources for name in re.findall(r"wtal\[(\w+)\]", read(path))}
    assert {"web", "onnx"} < named <= set(project["optional-dependencies"])
    assert project["authors"] and project["keywords"] and project["classifiers"] and project["urls"]


@pytest.mark.parametrize("path", [README, *PAGES], ids=page_name)
def test_links_have_targets(path):
    for target in LINK.findall(without_code(read(path))):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        target_path = (path.parent / name).resolve() if name else path
        assert target_path.exists(), f"{target}: no such file"
        if anchor:
            known_anchors = anchors(read(target_path))
            is_member = any(anchor.startswith(f"{name}.") for name in known_anchors) and locate(anchor) is not None
            assert anchor in known_anchors or is_member, f"{target}: no such heading"


@pytest.fixture(scope="module")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the samples use: a data set, a run, proposals and ground truth."""
    folder = tmp_path_factory.mktemp("samples")
    data, run = folder / "mydata", folder / "runs" / "mine"
    write_synthetic(data, TINIEST, seed=0)
    train(data, run, parse_config({"model": {"width": 8}, "train": {"steps": 2, "batch_size": 2}}))
    localize(run, data, folder / "proposals.json")
    shutil.copy(data / "annotations.json", folder / "truth.json")
    shutil.copy(next((data / "features").glob("*.npy")), data / "features" / "clip01.npy")
    return folder


@pytest.mark.parametrize("path", [path for path in [README, *PAGES] if fences(read(path), "python")], ids=page_name)
def test_python_samples_run(path, sample_folder, own_videos, tmp_path, monkeypatch):
    shutil.copytree(sample_folder, tmp_path, dirs_exist_ok=True)
    if "holiday.mp4" in read(path):  # samples that start from a video need a model trained on features of videos
        shutil.rmtree(tmp_path / "runs" / "mine")
        shutil.copytree(own_videos / "run", tmp_path / "runs" / "mine")
        shutil.copy(own_videos / "videos" / "film 0.mp4", tmp_path / "holiday.mp4")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with ExitStack() as stack:  # samples register their own losses, backbones, layouts and formats
        for registry in (LOSSES, BACKBONES, LAYOUTS, FORMATS):
            stack.enter_context(mock.patch.dict(registry))
        for sample in fences(read(path), "python"):
            exec(compile(sample, page_name(path), "exec"), names)


@pytest.mark.slow
def test_own_method_runs_through_the_command_line(sample_folder, tmp_path, monkeypatch):
    shutil.copytree(sample_folder / "mydata", tmp_path / "mydata")
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    (module,) = re.findall(r'^```python title="my_module.py"\n(.*?)^```', text, re.MULTILINE | re.DOTALL)
    (tmp_path / "my_module.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    method = ["--method", "my_module:build"]
    small = ["--set", "train.steps=2", "--set", "model.width=8"]
    for arguments in (["train", "mydata", "--out", "run", *small], ["localize", "run", "mydata"]):
        process = subprocess.run([sys.executable, "-m", "wtal", *arguments, *method], capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
    process = subprocess.run(
        [sys.executable, "-m", "wtal", "localize", "run", "mydata"], capture_output=True, text=True
    )
    assert process.returncode == 2 and "my_module:build" in process.stderr, "code is imported only if the user names it"


def commands(text: str) -> Iterator[tuple[str, bool]]:
    """Each line of the shell samples with True, and each command in the text, which may be incomplete, with False."""
    for sample in fences(text, "sh"):
        yield from ((line.strip(), True) for line in sample.replace("\\\n", " ").splitlines())
    yield from ((line, False) for line in re.findall(r"(?<!`)`((?:wtal|make) [^`]+)`", outside_fences(text)))


def command_error(line: str, complete: bool = True) -> str | None:
    """Why a `wtal` or `make` command is wrong; None if it is right or another program."""
    program, *words = shlex.split(line, comments=True) or [""]
    if program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        return next((f"no target {word}" for word in words if word not in targets), None)
    if program != "wtal":
        return None
    name, *arguments = words
    if name not in COMMANDS:
        return f"no command {name}"
    try:
        COMMANDS[name].make_context(name, arguments)
    except Exception as error:  # typer has its own copy of click
        is_incomplete = type(error).__name__ == "MissingParameter"
        return None if is_incomplete and not complete else f"{type(error).__name__} {error}"
    return None


@pytest.mark.parametrize("path", [README, *PAGES], ids=page_name)
def test_commands_and_options_exist(path):
    for line, complete in commands(read(path)):
        assert command_error(line, complete) is None, line


@pytest.mark.parametrize(
    "line",
    [
        "wtal nothing",
        "wtal train mydata",
        "wtal train mydata --out r --no",
        "wtal compare d --out o --seeds 0",
        "make coffee",
    ],
)
def test_wrong_commands_are_detected(line):
    assert command_error(line)


@pytest.mark.parametrize("path", [path for path in PAGES if DIRECTIVE.search(read(path))], ids=page_name)
def test_documented_objects_have_docstrings(path):
    text = read(path)
    for name, options in re.findall(r"^::: ([\w.]+)\n((?: +.*\n)*)", text + "\n", re.MULTILINE):
        documented = locate(name)
        assert documented is not None and documented.__doc__, f"{name} has no docstring"
        members = re.search(r"members: (\[.*\])", options)
        for member in ast.literal_eval(members[1]) if members else []:
            assert getattr(documented, member).__doc__, f"{name}.{member} has no docstring"


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_generated_tables_are_current(path):
    text = path.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run `python -m docs.tables`"


def test_every_generated_table_is_used():
    shown = {name for path in PAGES for _, name, _ in BLOCK.findall(path.read_text(encoding="utf-8"))}
    assert shown == TABLES.keys()


def sentences() -> Iterator[str]:
    """All strings of the package, with … for inserted values."""
    for path in sorted((ROOT / "wtal").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)


def test_messages_quoted_in_troubleshooting_exist():
    messages = list(sentences())
    rows = re.findall(r"^\| (`+)(.+?)\1 \| ", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    assert len(rows) > 30
    for _, quote in rows:
        assert any(quote.strip() in sentence for sentence in messages), f"no such message: {quote}"
