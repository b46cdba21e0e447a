"""metrics.jsonl in a run folder: the losses and scores of each step, one JSON object a line."""

import json
from pathlib import Path

from wtal.core.io import append_line, read_text, write_text

METRICS_NAME = "metrics.jsonl"


def append_metrics(run_dir: Path, metrics: dict[int, dict[str, float]]) -> None:
    """Append one JSON line per step to metrics.jsonl."""
    lines = [_metrics_line(step, values) for step, values in metrics.items()]
    append_line(run_dir / METRICS_NAME, "\n".join(lines))


def truncate_metrics(run_dir: Path, last_step: int) -> dict[int, dict[str, float]]:
    """Drop what was logged after the checkpoint that training resumes from, and an incomplete last line.

    Returns:
        The metrics that are left, by step.
    """
    path = run_dir / METRICS_NAME
    lines = read_text(path).splitlines() if path.is_file() else []
    metrics = dict(filter(None, map(_parse_metrics, lines)))
    metrics = {step: values for step, values in metrics.items() if step <= last_step}
    write_text(path, "".join(f"{_metrics_line(step, values)}\n" for step, values in metrics.items()))
    return metrics


def _metrics_line(step: int, values: dict[str, float]) -> str:
    return json.dumps({"step": step, **values})


def _parse_metrics(line: str) -> tuple[int, dict[str, float]] | None:
    """The step and the metrics of a line of metrics.jsonl; None if the line cannot be read."""
    try:
        values = json.loads(line)
        return int(values.pop("step")), values
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError):
        return None
