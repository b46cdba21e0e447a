"""How well the memory ranks the snippets of a class, beside the class scores and a shuffled memory.

For the validation videos, whose tags are given to all
rows alike, the snippets are ranked by the class scores of the models of stage one, by the memory, by the memory with
shuffled classes, by the teacher, and by the final model. Average precision, mean over classes, background left out;
and the mean probability of the foreground, which in truth is the share of the snippets that have a class.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from wtal.cli.app import DataArgument
from wtal.core.text import markdown_table
from wtal.data.batching import multi_hot
from wtal.data.dataset import Dataset, load_dataset
from wtal.data.snippet_labels import snippet_targets
from wtal.models.checkpoint import load_model, read_meta
from wtal.models.global_branch import enhance, mean_posterior
from wtal.models.local_branch import run_in_windows
from wtal.models.teacher import STAGE_ONE_DIR, TEACHER_DIR, load_stage_one, read_teacher
from wtal.reporting.tables import format_mean_std
from wtal.training.tag_scores import tag_precision
from wtal.training.teacher_writer import StageOneOutput

ROWS = (
    "class scores of stage one",
    "memory",
    "memory, background not weighted",
    "memory, classes shuffled",
    "teacher",
    "final model",
    "truth",
)


def main(
    data: DataArgument,
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders of `dfe`")],
) -> None:
    """Print the table."""
    dataset = load_dataset(data)
    results = np.array([_probe(dataset, run) for run in runs])  # runs x rows x columns
    rows = [
        (name, *map(format_mean_std, columns)) for name, columns in zip(ROWS, results.transpose(1, 2, 0), strict=True)
    ]
    header = (f"{dataset.path.name}, {len(runs)} runs", "average precision (%)", "foreground (%)")
    print("\n".join(markdown_table(header, rows)))


@torch.inference_mode()
def _probe(dataset: Dataset, run: Path) -> list[tuple[float, float]]:
    """Average precision and mean probability of the foreground, in percent, of each row."""
    meta, teacher = read_meta(run), read_teacher(run / TEACHER_DIR)
    models, final = load_stage_one(run / STAGE_ONE_DIR, meta.config), load_model(run)[0]
    shuffled = teacher.memory.with_shuffled_classes(torch.Generator().manual_seed(0))
    unweighted = replace(teacher.memory, background_weight=1.0)
    videos = dataset.subset("validation")
    allowed = F.pad(multi_hot(videos, dataset.classes), (0, 1), value=1.0) > 0
    scores = []
    for video, classes in zip(videos, allowed, strict=True):
        features = dataset.features(video.id)
        output = StageOneOutput.compute(models, features)
        vectors = teacher.memory.whitening(output.parts)
        posterior = mean_posterior(output.cas, teacher.reliability, classes)
        reading = teacher.memory.read(vectors, posterior, classes)
        logits = torch.cat([output.cas[0] for output in run_in_windows(final, features)])
        scores.append(
            torch.stack(
                [
                    posterior,
                    reading,
                    unweighted.read(vectors, posterior, classes),
                    shuffled.read(vectors, posterior, classes),
                    enhance(posterior, reading, meta.config.teacher.memory_share),
                    logits.masked_fill(~classes, -torch.inf).softmax(-1),
                    snippet_targets(dataset, video.id, video.segments),
                ]
            )
        )
    parts = torch.cat(scores, 1)[..., :-1]  # rows x N x C
    return [(100 * _mean_precision(part, parts[-1]), 100 * float(part.sum(-1).mean())) for part in parts]


def _mean_precision(scores: Tensor, labels: Tensor) -> float:
    """Mean over the classes that occur. N x C each."""
    present = labels.any(0)
    return float(tag_precision(scores[:, present], (labels[:, present] > 0).float()).mean())
