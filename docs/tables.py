"""Tables of the documentation that are generated from the code: `python -m docs.tables` updates them.

In a page, everything between `<!-- table: NAME -->` and `<!-- /table -->` is replaced.
"""

import re
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from benchmarks.ablate import ARMS
from wtal.core.config import Config
from wtal.core.methods import METHODS
from wtal.core.text import code_span, markdown_table
from wtal.data.annotations.base import AnnotationFormat
from wtal.data.annotations.registry import FORMATS
from wtal.evaluation.protocols import PROTOCOLS
from wtal.experiments.benchmarks.definitions import BENCHMARKS
from wtal.reporting.evaluation_tables import protocol_rules

DOCS = Path(__file__).parent
BLOCK = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- /table -->)", re.DOTALL)


def settings_table(section: str) -> list[str]:
    """The settings of a section: name, default, allowed values and description."""
    settings = Config.model_fields[section].annotation
    assert isinstance(settings, type) and issubclass(settings, BaseModel)
    rows = [
        (
            code_span(name),
            code_span(_toml(field.default)),
            _allowed(field),
            field.description or "",
        )
        for name, field in settings.model_fields.items()
    ]
    return list(markdown_table(("setting", "default", "allowed", "meaning"), rows))


def methods_table() -> list[str]:
    """The components of each method."""
    memory = {
        "written": "yes",
        "shuffled": "classes shuffled",
        "random": "random content",
        "own": "content of the own video only",
    }
    teacher = {
        "none": ("no", "none"),
        "memory": ("yes", "models of stage one and memory"),
        "ensemble": ("yes", "models of stage one"),
        "segments": ("no", "true segments"),
    }
    scored = {"local": "local branch", "ensemble": "mean of the models of stage one", "global": "teacher, without tags"}
    rows = []
    for name, spec in METHODS.items():
        stage_one, source = teacher[spec.teacher]
        content = memory[spec.memory] if spec.teacher == "memory" else "none"
        local = "yes" if spec.local else "no"
        rows.append((code_span(name), local, stage_one, content, source, scored[spec.branch]))
    heads = ("method", "local enhancement", "stage one", "memory", "teacher", "scored")
    return list(markdown_table(heads, rows))


def protocols_table() -> list[str]:
    """The rules of each evaluation protocol."""
    rules = {name: protocol_rules(protocol) for name, protocol in PROTOCOLS.items()}
    heads = ("protocol", *next(iter(rules.values())))
    return list(markdown_table(heads, [(code_span(name), *values.values()) for name, values in rules.items()]))


def benchmarks_table() -> list[str]:
    """The published counts of each benchmark, its features and protocols."""
    rows = [
        (
            code_span(benchmark.name),
            str(benchmark.classes),
            ", ".join(f"{count:,} {subset}" for subset, count in benchmark.videos.items()),
            f"{benchmark.scored}, {benchmark.instances:,} instances" if benchmark.instances else benchmark.scored,
            " + ".join(map(str, benchmark.widths)),
            ", ".join(map(code_span, benchmark.protocols)),
        )
        for benchmark in BENCHMARKS.values()
    ]
    return list(markdown_table(("benchmark", "classes", "videos", "scored", "features", "protocols"), rows))


def ablation_table() -> list[str]:
    """The settings that each arm of the ablation changes."""
    rows = [(code_span(name), ", ".join(map(code_span, changes)) or "nothing") for name, changes in ARMS.items()]
    return list(markdown_table(("arm", "changes"), rows))


def annotation_formats_table() -> list[str]:
    """What each annotation format stores."""
    heads = ("name", "format", "extension", "one video per file", "times", "points", "scores", "also stored")
    return list(markdown_table(heads, [_annotation_format_row(format) for format in FORMATS.values()]))


TABLES: dict[str, Callable[[], list[str]]] = {
    **{
        f"settings.{name}": lambda name=name: settings_table(name)
        for name in ("model", "weights", "train", "teacher", "memory", "localize")
    },
    "methods": methods_table,
    "protocols": protocols_table,
    "benchmarks": benchmarks_table,
    "ablation": ablation_table,
    "annotation_formats": annotation_formats_table,
}


def with_tables(text: str) -> str:
    """The text of a page with up-to-date tables."""
    return BLOCK.sub(lambda block: f"{block[1]}\n" + "\n".join(TABLES[block[2]]()) + f"\n\n{block[3]}", text)


def _annotation_format_row(format: AnnotationFormat) -> tuple[str, ...]:
    units = {0: "exact", 1000: "milliseconds", 1_000_000: "microseconds"}
    times = "frames" if format.needs_fps else units[format.ticks_per_second]
    scores = "four digits" if format.score_note else "required" if format.requires_scores else "exact"
    return (
        code_span(format.name),
        format.title,
        code_span(format.extension),
        "yes" if format.single_video else "",
        times,
        "kept" if format.allows_zero_length else f"one {times.removesuffix('s')}",
        scores if "scores" in format.keeps else "",
        ", ".join(sorted(format.keeps - {"scores"})),
    )


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def _allowed(field: FieldInfo) -> str:
    """The choices or the bounds of a setting."""
    if choices := [name for name in getattr(field.annotation, "__args__", ()) if isinstance(name, str)]:
        return ", ".join(map(code_span, choices))
    phrases = {
        "ge": "from {}",
        "gt": "above {}",
        "le": "to {}",
        "lt": "below {}",
        "multiple_of": "a multiple of {}",
        "max_length": "at most {} of them",
    }
    bounds = {name: getattr(part, name) for part in field.metadata for name in phrases if hasattr(part, name)}
    return ", ".join(phrases[name].format(_number(bounds[name])) for name in phrases if name in bounds)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


if __name__ == "__main__":
    for path in sorted(DOCS.glob("*.md")):
        old = path.read_text(encoding="utf-8")
        if (new := with_tables(old)) != old:
            path.write_text(new, encoding="utf-8")
            print(f"{path.relative_to(DOCS.parent)}: tables updated")
