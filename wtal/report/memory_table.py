"""What a run's memory holds, as a table: which class, how often written, which classes lie nearest."""

import torch.nn.functional as F
from rich.markup import escape
from rich.table import Table

from wtal.checkpoint import Meta
from wtal.model.dfe import DFE
from wtal.model.memory import LearnedMemory


def memory_table(model: DFE, meta: Meta, nearest: int = 3) -> Table:
    """A row a class, background last; nearness is the cosine between the means of two classes' slots."""
    names = [*meta.classes, "(background)"]
    prototypes = F.normalize(model.memory.prototypes.detach().mean(1), dim=-1)  # K x H
    alike = (prototypes @ prototypes.T).fill_diagonal_(-2)
    table = Table(title=f"memory of {meta.config.method}, step {meta.step}", title_justify="left")
    table.add_column("class")
    table.add_column("slots", justify="right")
    learned = isinstance(model.memory, LearnedMemory)
    if learned:
        table.caption, table.caption_justify = "learned by gradient, so there are no writes to count", "left"
    else:
        table.add_column("times written", justify="right")
    table.add_column("nearest classes (cosine)")
    for name, row, written in zip(names, alike, model.memory.written, strict=True):
        values, places = row.topk(min(nearest, len(names) - 1))
        near = ", ".join(f"{names[i]} {v:.2f}" for v, i in zip(values.tolist(), places.tolist(), strict=True))
        times = () if learned else (f"{int(written.sum()):,}",)
        table.add_row(escape(name), str(int((written > 0).sum())), *times, escape(near))
    return table
