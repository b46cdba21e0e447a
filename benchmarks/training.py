"""Time and memory of a training run with the default settings on real recordings (HAPT).

Also what inference saves by leaving out the models of stage one and the memory.
"""

import tempfile
from functools import partial
from pathlib import Path

import torch

from benchmarks.measure import median_seconds, num_parameters, run_command, shared_path
from wtal.core.text import markdown_table
from wtal.models.checkpoint import load_model, read_meta
from wtal.models.teacher import load_ensemble, load_global_branch

SNIPPETS = 2000


def measure() -> list[str]:
    """The lines of the section."""
    data = shared_path("hapt")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        usage = run_command("train", str(data), "--out", str(run))
        lines = [f"`wtal train hapt` with the default settings: {usage.seconds:.0f} s, peak {usage.peak:.0f} MB.", ""]
        return lines + _measure_branches(run)


def _measure_branches(run: Path) -> list[str]:
    networks = {
        "local branch (inference)": load_model(run)[0],
        "models of stage one": load_ensemble(run)[0],
        "models of stage one and memory": load_global_branch(run)[0],
    }
    width = sum(read_meta(run).modalities)
    x, mask = torch.randn(1, SNIPPETS, width), torch.ones(1, SNIPPETS, dtype=torch.bool)
    rows = []
    with torch.inference_mode():
        for name, network in networks.items():
            seconds = median_seconds(partial(network, x, mask))
            rows.append((name, f"{num_parameters(network):,}", f"{1000 * seconds:.1f}"))
    return list(markdown_table((f"{SNIPPETS:,} snippets", "parameters", "ms"), rows))
