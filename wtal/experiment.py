"""The hallway: it opens the rooms' doors in order and does nothing else.

data set ─ train ─► run folder ─ localize ─► proposals.json ─ evaluate ─► results.json
"""

from collections.abc import Sequence
from pathlib import Path

from wtal import predict
from wtal.config import Config
from wtal.dataset import held_out_ids
from wtal.evaluate import evaluate
from wtal.files import write_json
from wtal.formats.plain import read_folder
from wtal.formats.results import read_results, write_results
from wtal.formats.truth import find_ambiguous, read_truth
from wtal.localize import localize
from wtal.records import Proposals
from wtal.result import Result
from wtal.train import Progress, train
from wtal.validate import validator


def train_run(
    data: Path,
    run: Path,
    config: Config,
    *,
    resume: bool = False,
    device: str = "auto",
    validate: bool = False,
    hold_out: float = 0.0,
    progress: Progress | None = None,
) -> Path:
    """Train on a data set folder; the run folder gets checkpoints and metrics.jsonl. Returns the last checkpoint.

    `validate` scores each checkpoint on the validation segments; `hold_out` keeps a share of the training
    sequences back and scores their video-level labels instead. Nothing is chosen by these scores.
    """
    folder = read_folder(data)
    held_out = held_out_ids(folder, hold_out, config.train.seed)
    score = validator(folder, held_out) if validate or held_out else None
    return train(
        config,
        folder,
        run,
        resume=resume,
        device=device,
        held_out=held_out,
        validate=score,
        progress=progress,
    )


def localize_run(run: Path, data: Path, subset: str, out: Path, branch: str = "local") -> Proposals:
    """Proposals for every sequence of a subset by the local branch (or, to measure it, the global one)."""
    folder = read_folder(data)
    network, meta = predict.load_network(run, branch)
    predict.require_fit(meta, folder)
    scored = predict.score_videos(network, folder, folder.subset(subset), meta.config.train.topk_ratio)
    proposals = {
        video.id: localize(scores, meta.classes, folder.clock, meta.config.localize) for video, scores in scored
    }
    write_results(out, proposals)
    return proposals


def evaluate_file(
    proposals: Path,
    truth: Path,
    protocol: str = "activitynet",
    *,
    out: Path | None = None,
    tious: Sequence[float] | None = None,
    subset: str | None = None,
    ambiguous: Path | None = None,
    checkpoint: str = "not said",
) -> Result:
    """Score anybody's proposals file under a named protocol; `out` gets results.json."""
    intervals = find_ambiguous(truth if ambiguous is None else ambiguous)
    result = evaluate(read_results(proposals), read_truth(truth), protocol, tious, subset, intervals, checkpoint)
    if out is not None:
        write_json(out, result.to_json())
    return result
