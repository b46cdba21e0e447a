"""Every default against its alternatives, one at a time: which of them earn their place.

FROM: Methods against each other: same seeds, same steps, last checkpoint. Runs what is missing, side by side.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from wtal.core.config import Config, with_overrides
from wtal.core.errors import ConfigError
from wtal.core.hardware import available_cores
from wtal.core.io import realpath, write_json
from wtal.core.methods import METHODS, find_method, load_method
from wtal.data.dataset import load_dataset
from wtal.experiments.pipeline import require_actions
from wtal.experiments.runner import Done, RunSpec, claim, comparison_options, result_of, run_specs, write_cards
from wtal.experiments.statistics import Difference, Score, comparison_json, differences_of, score_of


def compare(
    datas: Sequence[Path],
    methods: Sequence[str],
    seeds: int,
    subset: str,
    config: Config,
    out: Path,
    workers: int | None = None,
    done: Done | None = None,
) -> tuple[list[Score], list[Difference]]:
    """Train what is missing, score it, and tabulate; `out/comparison.json` gets it all.

    Runs stand side by side, one a core. A finished run is used again, an interrupted one goes on.
    Raises ConfigError for an unknown method or a run folder of other settings or data, DataError for data
    that cannot be trained on or scored; the runs that were finished until then stay.
    """
    names, methods = data_names(datas), known_methods(methods)
    for data, name in names.items():
        require_actions(load_dataset(data), subset)
        claim(out / name, data)
    jobs = [
        RunSpec(data, name, method, configured(config, method, seed), comparison_options(subset), out)
        for data, name in names.items()
        for method in methods
        for seed in range(seeds)
    ]
    run_specs(jobs, workers or available_cores(), done)
    scores = [
        score_of(name, method, [result_of(job) for job in jobs if (job.name, job.method) == (name, method)])
        for name in names.values()
        for method in methods
    ]
    write_cards(jobs, scores)
    differences = [d for name in names.values() for d in differences_of([s for s in scores if s.data == name])]
    write_json(out / "comparison.json", comparison_json(scores, differences, subset, seeds, config))
    return scores, differences


def data_names(datas: Sequence[Path]) -> dict[Path, str]:
    """Each data set folder once, under the shortest end of its path that tells it from the others."""
    folders = {realpath(data): data for data in datas}
    for count in range(1, max((len(path.parts) for path in folders), default=0) + 1):
        names = {data: "-".join(path.parts[-count:]).strip(os.sep) for path, data in folders.items()}
        if len(set(names.values())) == len(names):
            return names
    raise ConfigError("the data set folders cannot be told apart by their names; rename one of them")


def methods_named(names: str) -> list[str]:
    """Names with commas between, or `all`. Raises ConfigError for an unknown one."""
    named = [name.strip() for name in names.split(",") if name.strip()]
    return list(METHODS) if named == ["all"] else known_methods(named)


def known_methods(methods: Sequence[str]) -> list[str]:
    """Each name once. Raises ConfigError for an unknown one, naming the known ones."""
    wanted = list(dict.fromkeys(methods))
    if not wanted:
        raise ConfigError("no method to compare", hint=f"use {', '.join(METHODS)}", code="unknown-method")
    for name in wanted:
        load_method(name)
    return wanted


def configured(config: Config, method: str, seed: int) -> Config:
    """The settings of one run."""
    trained_as = find_method(method).trained_as or method
    return config.model_copy(update={"method": trained_as, "train": config.train.model_copy(update={"seed": seed})})


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
    "co_activity: none": ("weights.co_activity=0",),
    "class_competition: none": ("weights.class_competition=0",),
    "partial_label: none": ("weights.partial_label=0",),
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

    Raises ConfigError for an unknown arm, else as `wtal.experiments.compare.compare` does.
    """
    names, chosen = data_names(datas), _known(arms)
    for data, name in names.items():
        require_actions(load_dataset(data), subset)
        claim(out / name, data)
    jobs = {
        (arm, name): [_job(data, name, arm, seed, subset, config, out) for seed in range(seeds)]
        for arm in chosen
        for data, name in names.items()
    }
    run_specs([job for group in jobs.values() for job in group], workers, done)
    scores = [score_of(name, arm, [result_of(job) for job in group]) for (arm, name), group in jobs.items()]
    differences = [d for name in names.values() for d in differences_of([s for s in scores if s.data == name])]
    write_json(out / "ablation.json", comparison_json(scores, differences, subset, seeds, config))
    return scores, differences


def _job(data: Path, name: str, arm: str, seed: int, subset: str, config: Config, out: Path) -> RunSpec:
    settings = with_overrides(config, (*ARMS[arm], f"train.seed={seed}"))
    return RunSpec(data, name, settings.method, settings, comparison_options(subset), out / "runs" / _file_name(arm))


def _known(arms: Sequence[str]) -> list[str]:
    """The arms asked for, each once, after the defaults that they are compared with; all where none is named."""
    unknown = [arm for arm in arms if arm not in ARMS]
    if unknown:
        raise ConfigError(f"there is no arm {unknown[0]!r}; use {', '.join(repr(arm) for arm in ARMS)}")
    return list(dict.fromkeys([DEFAULT, *(arms or ARMS)]))


def _file_name(arm: str) -> str:
    return "-".join("".join(mark if mark.isalnum() else " " for mark in arm).split())
