"""The house stands: imports go down only, some rooms do not know each other, README's map is the files."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    "wtal errors records timeline files machine device cluster",
    "config configs",
    "formats features provenance synthetic check parallel",
    "dataset losses model",
    "objective localize soft_nms operating tidy evaluate analysis protocols matching result scores significance "
    "published",
    "checkpoint train predict validate batch",
    "experiment jobs compare ablation card benchmark report extract export demo init doctor timelines calibrate",
    "cli door web __main__",
)
WITHOUT_TORCH = (
    "evaluate analysis operating tidy protocols matching result scores significance published localize records "
    "timeline features check"
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted((ROOT / "wtal").rglob("*.py"))}


def for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports(path: Path) -> set[str]:
    """Every name that a file imports, at the top or inside functions, but for types only."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write `from wtal.x import ...`"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        todo += node.orelse if for_types_only(node) else ast.iter_child_nodes(node)
    return found


def within(name: str) -> str | None:
    """The module of ours that an imported name is, or is in."""
    if name.partition(".")[0] != "wtal":
        return None
    return name if name in MODULES else within(name.rpartition(".")[0])


USES = {
    module: {used for name in imports(path) if (used := within(name)) and used != module}
    for module, path in MODULES.items()
}
USES["wtal"] = set()  # the front door: what it hands out it loads when asked, as the test of quick importing sees


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def reached(module: str) -> set[str]:
    """All modules that importing this one could bring in."""
    found, todo = set(), [module]
    while todo:
        found.add(module := todo.pop())
        todo += USES[module] - found
    return found


def test_every_room_has_its_floor():
    assert {room(module) for module in MODULES} <= set(FLOOR), "a new room: say in FLOORS where it lies"


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module):
    up = {used for used in USES[module] if FLOOR[room(used)] > FLOOR[room(module)]}
    assert not up, f"{module} imports from a floor above"


def test_imports_go_round_nowhere():
    tuple(TopologicalSorter(USES).static_order())


@pytest.mark.parametrize(
    "module, stranger",
    [
        ("wtal.localize", "wtal.evaluate"),
        ("wtal.evaluate", "wtal.localize"),
        ("wtal.losses", "wtal.model"),
        ("wtal.losses", "wtal.config"),
        ("wtal.model", "wtal.config"),
        ("wtal.train", "wtal.evaluate"),
        ("wtal.train", "wtal.localize"),
        ("wtal.predict", "wtal.evaluate"),
        ("wtal.dataset", "wtal.model"),
    ],
)
def test_they_do_not_know_each_other(module, stranger):
    assert not {used for used in reached(module) if f"{used}.".startswith(f"{stranger}.")}


@pytest.mark.parametrize("module", WITHOUT_TORCH.split())
def test_judgement_needs_no_torch(module):
    outside = {name.partition(".")[0] for used in reached(f"wtal.{module}") for name in imports(MODULES[used])}
    assert not outside & {"torch", "safetensors", "huggingface_hub"}


def test_importing_wtal_is_quick():
    heavy = "torch pydantic numpy scipy matplotlib typer rich huggingface_hub safetensors"
    code = f"import sys, wtal; print([m for m in {heavy.split()} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert said.stdout.strip() == "[]"


def test_the_map_in_the_readme_is_the_files_that_exist():
    """Between `<!-- map -->` and `<!-- /map -->` each line of a file begins with its path."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    drawn = re.search(r"<!-- map -->(.*?)<!-- /map -->", readme, re.DOTALL)
    assert drawn, "README.md has no map of the files between <!-- map --> and <!-- /map -->"
    first = [line.split()[0] for line in drawn[1].splitlines() if line.split()]
    listed = [word for word in first if word.endswith(".py")]
    there = [str(p.relative_to(ROOT)) for p in MODULES.values() if p.name != "__init__.py" or p.stat().st_size]
    assert len(listed) == len(set(listed)), "a file is listed twice"
    assert sorted(listed) == sorted(there)
