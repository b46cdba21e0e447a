"""One training run with the defaults on real recordings, and what the local branch saves at inference."""

import shutil
import tempfile
from pathlib import Path

import torch

from benchmarks.measure import SHARED, command, seconds
from wtal.models import checkpoint
from wtal.models.dfe import DFE


def rows() -> list[str]:
    """Lines of Markdown; says so where the shared data are absent."""
    data = SHARED / "hapt"
    if not data.is_dir():
        return ["not measured: hapt is not beside the project"]
    out = Path(tempfile.mkdtemp())
    try:
        took, peak = command("train", str(data), "--out", str(out / "run"))
        lines = [f"`wtal train hapt` with the defaults: {took:.0f} s, peak {peak:.0f} MB.", ""]
        return lines + _branches(out / "run")
    finally:
        shutil.rmtree(out)


def _branches(run: Path) -> list[str]:
    """Parameters and time of the local branch alone, and of both: what removing the global one saves."""
    local, meta = checkpoint.load_local(run)
    both, _ = checkpoint.load_both(run)
    assert isinstance(both, DFE)
    x, mask = torch.randn(1, 2000, sum(meta.modalities)), torch.ones(1, 2000, dtype=torch.bool)
    with torch.inference_mode():
        alone = seconds(lambda: local(x, mask))
        together = seconds(lambda: both.both_branches(x, mask))
    return [
        "| inference, 2,000 snippets | parameters | ms |",
        "|---|---|---|",
        f"| local branch alone | {_parameters(local):,} | {1000 * alone:.1f} |",
        f"| local and global | {_parameters(both):,} | {1000 * together:.1f} |",
    ]


def _parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
