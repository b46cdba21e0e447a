"""Importing wtal stays fast, and evaluation works without PyTorch. The layers are checked by import-linter."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "pydantic", "numpy", "scipy", "matplotlib", "typer", "rich", "huggingface_hub", "safetensors")


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def loaded_modules(statement: str, modules: tuple[str, ...]) -> list[str]:
    """Those of `modules` that a new interpreter has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*[m for m in {modules} if m in sys.modules])"
    return run_python(code).splitlines()[-1].split()


def test_importing_wtal_loads_no_heavy_package():
    assert loaded_modules("import wtal", HEAVY) == []


@pytest.mark.parametrize(
    "command, modules",
    [("", ("numpy", "torch", "pydantic")), ("train", ("torch",)), ("predict", ("torch",)), ("evaluate", ("torch",))],
)
def test_help_loads_no_heavy_package(command, modules):
    statement = f"""
from wtal.cli import main
sys.argv = ["wtal", *{command.split()}, "--help"]
try:
    main()
except SystemExit:
    pass
"""
    assert loaded_modules(statement, modules) == []


@pytest.mark.parametrize(
    "module",
    [
        "wtal.core.structures",
        "wtal.data.validation",
        "wtal.evaluation.evaluate",
        "wtal.evaluation.error_analysis",
        "wtal.inference.postprocessing",
        "wtal.inference.proposals",
    ],
)
def test_module_works_without_torch(module):
    assert loaded_modules(f"import {module}", ("torch", "safetensors", "huggingface_hub")) == []
