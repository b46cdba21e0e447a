"""Every default against its alternatives, one at a time: which of them earn their place."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from wtal.compare import data_names
from wtal.config import Config, changed
from wtal.errors import ConfigError
from wtal.experiment import require_actions
from wtal.files import write_json
from wtal.formats.plain import read_folder
from wtal.jobs import Done, Job, Scoring, claim, result_of, run_jobs
from wtal.scores import Difference, Score, comparison_json, differences_of, score_of

DEFAULT = "defaults"
# What each arm changes, over `dfe` with the package's defaults.
ARMS: Mapping[str, tuple[str, ...]] = {
    DEFAULT: (),
    "slots: 1": ("model.slots=1",),
    "slots: 4": ("model.slots=4",),
    "write rule: ema, warm-up 0.1": ("model.memory=ema", "train.warmup=0.1"),
    "write rule: ema of momentum 0.99, warm-up 0.1": (
        "model.memory=ema",
        "train.warmup=0.1",
        "model.momentum=0.99",
    ),
    "warm-up: 0.1": ("train.warmup=0.1",),
    "warm-up: 0.3": ("train.warmup=0.3",),
    "distillation: none": ("method=dfe-no-distillation",),
    "distillation: attention only": ("weights.distillation_cas=0",),
    "distillation: CAS only": ("weights.distillation_attention=0",),
    "distillation: features too": ("weights.distillation_features=1",),
    "distillation: weight 3": ("weights.distillation_attention=3", "weights.distillation_cas=3"),
    "local operator: attention": ("model.local=attention",),
    "window: 3 (attention)": ("model.local=attention", "model.window=3"),
    "local operator: smoothing alone": ("model.dilations=[]",),
    "smoothing: none": ("model.smoothing=0",),
    "smoothing: 4": ("model.smoothing=4",),
    "top-k ratio: 8": ("train.topk_ratio=8",),
    "top-k ratio: 32": ("train.topk_ratio=32",),
    "suppression: none": ("weights.mil_suppressed=0",),
    "coactivity: none": ("weights.coactivity=0",),
    "exclusive: none": ("weights.exclusive=0",),
    "candidates: none": ("weights.candidates=0",),
}


def ablate(
    datas: Sequence[Path],
    arms: Sequence[str],
    seeds: int,
    subset: str,
    config: Config,
    out: Path,
    workers: int,
    done: Done | None = None,
) -> tuple[list[Score], list[Difference]]:
    """Train and score what is missing of every arm; `out/ablation.json` gets the table, arms in place of methods.

    Raises ConfigError for an unknown arm, else as `wtal.compare.compare` does.
    """
    names, chosen = data_names(datas), _known(arms)
    for data, name in names.items():
        require_actions(read_folder(data), subset)
        claim(out / name, data)
    jobs = {
        (arm, name): [_job(data, name, arm, seed, subset, config, out) for seed in range(seeds)]
        for arm in chosen
        for data, name in names.items()
    }
    run_jobs([job for group in jobs.values() for job in group], workers, done)
    scores = [score_of(name, arm, [result_of(job) for job in group]) for (arm, name), group in jobs.items()]
    differences = [d for name in names.values() for d in differences_of([s for s in scores if s.data == name])]
    write_json(out / "ablation.json", comparison_json(scores, differences, subset, seeds, config))
    return scores, differences


def _job(data: Path, name: str, arm: str, seed: int, subset: str, config: Config, out: Path) -> Job:
    settings = changed(config, (*ARMS[arm], f"train.seed={seed}"))
    return Job(data, name, settings.method, settings, Scoring(subset), out / "runs" / _file_name(arm))


def _known(arms: Sequence[str]) -> list[str]:
    """The arms asked for, each once, after the defaults that they are compared with; all where none is named."""
    unknown = [arm for arm in arms if arm not in ARMS]
    if unknown:
        raise ConfigError(f"there is no arm {unknown[0]!r}; use {', '.join(repr(arm) for arm in ARMS)}")
    return list(dict.fromkeys([DEFAULT, *(arms or ARMS)]))


def _file_name(arm: str) -> str:
    return "-".join("".join(mark if mark.isalnum() else " " for mark in arm).split())
