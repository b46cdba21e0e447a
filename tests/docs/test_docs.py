"""The documentation tells the truth: links lead somewhere, samples run, commands and sentences exist."""

import ast
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
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
from wtal.data.synthetic.features import write_synthetic
from wtal.experiments.pipeline import localize_run, train_run

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
README = ROOT / "README.md"
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```\s*?$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
COMMANDS = get_command(app).commands


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> str:
    """A page; one that is another file, as log.md is LOG.md, with what it shows."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r'^--8<-- "(.+)"$', lambda other: read(ROOT / other[1]), text, flags=re.MULTILINE)


def fences(text: str, language: str) -> list[str]:
    return [body for _, said, body in FENCE.findall(text) if said == language]


def outside_fences(text: str) -> str:
    return FENCE.sub("", text)


def without_code(text: str) -> str:
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", outside_fences(text))


def anchors(text: str) -> set[str]:
    """Of the headings, and of the names that mkdocstrings writes about."""
    found = set(DIRECTIVE.findall(text))
    for title in re.findall(r"^#+ +(.+?) *$", outside_fences(text), re.MULTILINE):
        plain = normalize("NFKD", title).encode("ascii", "ignore").decode()
        found.add(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower()))
    return found


def of_navigation(entries: list[dict]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            yield from of_navigation(value) if isinstance(value, list) else [value]


NAVIGATION = list(of_navigation(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]))


def test_the_navigation_is_the_pages_that_exist():
    assert sorted(NAVIGATION) == [path.name for path in PAGES]


@pytest.mark.parametrize("path", [README, *PAGES], ids=named)
def test_every_link_leads_somewhere(path):
    for target in LINK.findall(without_code(read(path))):
        if re.match(r"\w+:", target):
            continue
        place, _, anchor = target.partition("#")
        aim = (path.parent / place).resolve() if place else path
        assert aim.exists(), f"{target}: there is no such file"
        if anchor:
            there = anchors(read(aim))
            covered = any(anchor.startswith(f"{name}.") for name in there) and locate(anchor) is not None
            assert anchor in there or covered, f"{target}: there is no such heading"


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the samples have it around them: a data set, a run, proposals and truth."""
    place = tmp_path_factory.mktemp("samples")
    data, run = place / "mydata", place / "runs" / "mine"
    write_synthetic(data, TINIEST, seed=0)
    train_run(data, run, parse_config({"model": {"width": 8}, "train": {"steps": 2, "batch_size": 2}}))
    localize_run(run, data, "testing", place / "proposals.json")
    shutil.copy(data / "annotations.json", place / "truth.json")
    shutil.copy(next((data / "features").glob("*.npy")), data / "features" / "clip01.npy")
    return place


@pytest.mark.parametrize("path", [path for path in [README, *PAGES] if fences(read(path), "python")], ids=named)
def test_python_samples_run(path, around, tmp_path, monkeypatch):
    shutil.copytree(around, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with mock.patch.dict(FORMATS):  # samples may register their own
        for sample in fences(read(path), "python"):
            exec(compile(sample, named(path), "exec"), names)


def commands(text: str) -> Iterator[tuple[str, bool]]:
    """Every line of the shell samples, and what the text mentions, perhaps without all that the command needs."""
    for sample in fences(text, "sh"):
        yield from ((line.strip(), True) for line in sample.replace("\\\n", " ").splitlines())
    yield from ((line, False) for line in re.findall(r"(?<!`)`((?:wtal|make) [^`]+)`", outside_fences(text)))


def fault(line: str, whole: bool = True) -> str | None:
    """Why a command of ours cannot be called so; None where it can, and for others' commands."""
    program, *words = shlex.split(line, comments=True) or [""]
    if program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        return next((f"there is no target {word}" for word in words if word not in targets), None)
    if program != "wtal":
        return None
    name, *arguments = words
    if name not in COMMANDS:
        return f"there is no command {name}"
    try:
        COMMANDS[name].make_context(name, arguments)
    except Exception as error:  # of the click that typer carries
        lacking = type(error).__name__ == "MissingParameter"
        return None if lacking and not whole else f"{type(error).__name__} {error}"
    return None


@pytest.mark.parametrize("path", [README, *PAGES], ids=named)
def test_commands_and_their_options_exist(path):
    for line, whole in commands(read(path)):
        assert fault(line, whole) is None, line


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
def test_a_wrong_command_is_noticed(line):
    assert fault(line)


@pytest.mark.parametrize("path", [path for path in PAGES if DIRECTIVE.search(read(path))], ids=named)
def test_what_the_api_pages_name_exists_and_says_something(path):
    text = read(path)
    for name, options in re.findall(r"^::: ([\w.]+)\n((?: +.*\n)*)", text + "\n", re.MULTILINE):
        thing = locate(name)
        assert thing is not None and thing.__doc__, f"{name} has no docstring"
        members = re.search(r"members: (\[.*\])", options)
        for member in ast.literal_eval(members[1]) if members else []:
            assert getattr(thing, member).__doc__, f"{name}.{member} has no docstring"


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_tables_are_what_the_code_says(path):
    text = path.read_text(encoding="utf-8")
    assert with_tables(text) == text, "the code has changed: `python -m docs.tables` writes the tables anew"


def test_every_table_stands_somewhere():
    shown = {name for path in PAGES for _, name, _ in BLOCK.findall(path.read_text(encoding="utf-8"))}
    assert shown == TABLES.keys()


def sentences() -> Iterator[str]:
    """What the program can say, with … for what it fills in."""
    for path in sorted((ROOT / "wtal").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)


def test_what_troubleshooting_quotes_is_what_the_program_says():
    said = list(sentences())
    rows = re.findall(r"^\| (`+)(.+?)\1 \| ", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    assert len(rows) > 30
    for _, quote in rows:
        assert any(quote.strip() in sentence for sentence in said), f"the program does not say: {quote}"
