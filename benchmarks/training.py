"""Time and memory of one training run with the default settings on real recordings (HAPT), and what inference saves by
leaving out the global branch."""

import tempfile
from pathlib import Path

import torch

from benchmarks.measure import SHARED, median_seconds, num_parameters, run_command
from wtal.core.text import markdown_table
from wtal.models import checkpoint
from wtal.models.dfe import DFE

SNIPPETS = 2000


def measure() -> list[str]:
    """The lines of the section."""
    data = SHARED / "hapt"
    if not data.is_dir():
        return ["Not measured: the HAPT data set is missing."]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        usage = run_command("train", str(data), "--out", str(run))
        lines = [f"`wtal train hapt` with the default settings: {usage.seconds:.0f} s, peak {usage.peak:.0f} MB.", ""]
        return lines + _measure_branches(run)


def _measure_branches(run: Path) -> list[str]:
    local, meta = checkpoint.load_local(run)
    both, _ = checkpoint.load_both(run)
    assert isinstance(both, DFE)
    x, mask = torch.randn(1, SNIPPETS, sum(meta.modalities)), torch.ones(1, SNIPPETS, dtype=torch.bool)
    with torch.inference_mode():
        local_seconds = median_seconds(lambda: local(x, mask))
        both_seconds = median_seconds(lambda: both.both_branches(x, mask))
    rows = [
        ("local branch only", f"{num_parameters(local):,}", f"{1000 * local_seconds:.1f}"),
        ("local and global branch", f"{num_parameters(both):,}", f"{1000 * both_seconds:.1f}"),
    ]
    return list(markdown_table((f"inference, {SNIPPETS:,} snippets", "parameters", "ms"), rows))


if __name__ == "__main__":
    print("\n".join(measure()))
