"""Importing wtal stays fast, and evaluation works without PyTorch. The layers are checked by import-linter."""

import subprocess
import sys

import pytest

HEAVY = "torch pydantic numpy scipy matplotlib typer rich huggingface_hub safetensors"


def imported(statement: str, modules: str) -> list[str]:
    """Those of `modules` that a fresh interpreter has loaded after a statement."""
    code = f"import sys; {statement}; print(*[m for m in {modules.split()} if m in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_importing_wtal_loads_nothing_heavy():
    assert imported("import wtal", HEAVY) == []


@pytest.mark.parametrize(
    "module", ["wtal.evaluation.evaluate", "wtal.evaluation.error_analysis", "wtal.inference.postprocessing",
               "wtal.inference.proposals", "wtal.data.validation", "wtal.core.structures"]
)  # fmt: skip
def test_module_works_without_torch(module):
    assert imported(f"import {module}", "torch safetensors huggingface_hub") == []
