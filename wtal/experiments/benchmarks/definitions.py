"""What each benchmark is: its counts, its protocols, its settings. Facts as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wtal.core.errors import ConfigError
from wtal.data.layouts.base import FeatureTiming
from wtal.evaluation.protocols import COMPARISON_TIOUS
from wtal.experiments.benchmarks import configs


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as its papers count it. The first protocol is the main one."""

    name: str
    title: str
    classes: int
    videos: Mapping[str, int]  # subset -> how many
    scored: str  # subset
    instances: int | None  # of the scored subset; None where we know no figure
    protocols: tuple[str, ...]
    tious: tuple[float, ...] | None = None  # None: the protocol's own
    widths: tuple[int, ...] = (1024, 1024)  # I3D's RGB and flow
    grid: FeatureTiming = field(
        default_factory=FeatureTiming
    )  # of OpenTAD / ActionFormer features, where nobody says otherwise
    layout: str = ""  # the layout of its features in LAYOUTS; "" to detect it
    known: Mapping[str, str] = field(default_factory=dict)  # video -> what is odd about it

    @property
    def config(self) -> Path:
        """The committed settings."""
        return Path(next(iter(configs.__path__))) / f"{self.name}.toml"


_THUMOS = ("thumos14-212", "thumos14-210", "thumos14-snippet", "wtalc")
_ODD_THUMOS = {
    "video_test_0000270": "22 of its actions start after its end; thumos14-210 leaves it out",
    "video_test_0001496": "some labels are doubtful; thumos14-210 leaves it out",
    "video_test_0001292": "has no usable annotation anywhere; no protocol counts it",
}

BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            "thumos14",
            "THUMOS14",
            20,
            {"training": 200, "testing": 212},
            "testing",
            3358,
            _THUMOS,
            grid=FeatureTiming(4, 16, 30),
            known=_ODD_THUMOS,
        ),
        Benchmark(
            "multithumos",
            "MultiTHUMOS",
            65,
            {"training": 200, "testing": 213},
            "testing",
            None,
            ("multithumos",),
            grid=FeatureTiming(4, 16, 30),
        ),
        Benchmark(
            "activitynet1.2",
            "ActivityNet 1.2",
            100,
            {"training": 4819, "validation": 2383},
            "validation",
            None,
            ("activitynet",),
        ),
        Benchmark(
            "activitynet1.3",
            "ActivityNet 1.3",
            200,
            {"training": 10024, "validation": 4926},
            "validation",
            7654,
            ("activitynet",),
        ),
        Benchmark(
            "hapt",
            "HAPT",
            12,
            {"training": 249, "validation": 43, "testing": 48},
            "testing",
            202,
            ("activitynet",),
            COMPARISON_TIOUS,
            widths=(78,),
            layout="hapt",
        ),
    )
}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of that name. Raises ConfigError naming the known ones."""
    if name not in BENCHMARKS:
        raise ConfigError(f"there is no benchmark {name!r}; use one of {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
