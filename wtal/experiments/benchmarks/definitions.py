"""The benchmarks: published counts, evaluation protocols and settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wtal.core.errors import ConfigError
from wtal.data.layouts.base import FeatureTiming
from wtal.experiments.benchmarks import configs


@dataclass(frozen=True)
class Benchmark:
    """A published benchmark.

    Attributes:
        name: Name on the command line.
        title: Name in reports.
        classes: Number of classes.
        videos: Number of videos, by subset.
        scored: The subset that is scored.
        instances: Number of annotated segments in it; None if not known.
        protocols: Names of evaluation protocols; the first one is the main protocol.
        widths: Dimensions of each feature group, such as I3D's RGB and flow.
        timing: Times of features in the OpenTAD / ActionFormer layout, unless the user gives others.
        layout: Name in `LAYOUTS` of the layout of the features; empty to detect it.
        video_notes: Peculiarities of single videos, by id.
    """

    name: str
    title: str
    classes: int
    videos: Mapping[str, int]
    scored: str
    instances: int | None
    protocols: tuple[str, ...]
    widths: tuple[int, ...] = (1024, 1024)
    timing: FeatureTiming = field(default_factory=FeatureTiming)
    layout: str = ""
    video_notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def config_path(self) -> Path:
        """The settings, a TOML file."""
        return Path(next(iter(configs.__path__))) / f"{self.name}.toml"


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            "thumos14",
            "THUMOS14",
            classes=20,
            videos={"training": 200, "testing": 212},
            scored="testing",
            instances=3358,
            protocols=("thumos14-212", "thumos14-210", "thumos14-snippet", "wtalc"),
            timing=FeatureTiming(4, 16, 30),
            video_notes={
                "video_test_0000270": "22 segments start after its end; excluded by thumos14-210",
                "video_test_0001496": "some labels are doubtful; excluded by thumos14-210",
                "video_test_0001292": "has no usable annotation; not part of any protocol",
            },
        ),
        Benchmark(
            "multithumos",
            "MultiTHUMOS",
            classes=65,
            videos={"training": 200, "testing": 213},
            scored="testing",
            instances=None,
            protocols=("multithumos",),
            timing=FeatureTiming(4, 16, 30),
        ),
        Benchmark(
            "activitynet1.2",
            "ActivityNet 1.2",
            classes=100,
            videos={"training": 4819, "validation": 2383},
            scored="validation",
            instances=None,
            protocols=("activitynet",),
        ),
        Benchmark(
            "activitynet1.3",
            "ActivityNet 1.3",
            classes=200,
            videos={"training": 10024, "validation": 4926},
            scored="validation",
            instances=7654,
            protocols=("activitynet",),
        ),
        Benchmark(
            "hapt",
            "HAPT",
            classes=12,
            videos={"training": 249, "validation": 43, "testing": 48},
            scored="testing",
            instances=202,
            protocols=("general",),
            widths=(78,),
            layout="hapt",
        ),
    )
}


def find_benchmark(name: str) -> Benchmark:
    """Return the benchmark of that name.

    Raises:
        ConfigError: The name is unknown.
    """
    if name not in BENCHMARKS:
        raise ConfigError(
            f"unknown benchmark {name!r}", hint=f"use one of {', '.join(BENCHMARKS)}", code="unknown-name"
        )
    return BENCHMARKS[name]
