"""Methods against each other: same seeds, same steps, last checkpoint. Runs what is missing, side by side."""

import os
from collections.abc import Sequence
from pathlib import Path

from wtal.config import METHODS, Config
from wtal.errors import ConfigError
from wtal.experiment import require_actions
from wtal.files import real, write_json
from wtal.formats.plain import read_folder
from wtal.jobs import Done, Job, Scoring, claim, result_of, run_jobs, write_cards
from wtal.machine import cores
from wtal.scores import Difference, Score, comparison_json, differences_of, score_of


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
        require_actions(read_folder(data), subset)
        claim(out / name, data)
    jobs = [
        Job(data, name, method, configured(config, method, seed), Scoring(subset), out)
        for data, name in names.items()
        for method in methods
        for seed in range(seeds)
    ]
    run_jobs(jobs, workers or cores(), done)
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
    folders = {real(data): data for data in datas}
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
    unknown = [name for name in wanted if name not in METHODS]
    if unknown or not wanted:
        what = f"there is no method {unknown[0]!r}" if unknown else "no method to compare"
        raise ConfigError(f"{what}; use {', '.join(METHODS)}")
    return wanted


def configured(config: Config, method: str, seed: int) -> Config:
    """The settings of one run. `dfe-global` is trained as `dfe`."""
    trained_as = "dfe" if method == "dfe-global" else method
    return config.model_copy(update={"method": trained_as, "train": config.train.model_copy(update={"seed": seed})})
