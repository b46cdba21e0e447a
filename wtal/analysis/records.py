"""What an analysis hands on: kinds of predictions, what mending each is worth, what is missed and where."""

from dataclasses import asdict, dataclass
from typing import Any

from wtal.result import Result

TRUE_POSITIVE, DOUBLE, WRONG_LABEL, LOCALIZATION, CONFUSION, BACKGROUND = range(6)
KINDS = ("true positive", "double detection", "wrong label", "localization", "confusion", "background")
LOWEST = 0.1  # tIoU with an action from which on a prediction is no mere background
DEPTH = 10  # predictions that count for each instance of a class, surest first: DETAD's top-10G

SIZES = ("XS", "S", "M", "L", "XL")
BOUNDS = (1, 3, 10, 30)  # of every trait in its unit: XS up to 1, S up to 3, M up to 10, L up to 30, XL above


@dataclass(frozen=True)
class Gain:
    """What mAP gains when the predictions of a kind are gone, as fractions."""

    at_tiou: float
    average: float  # over the protocol's tIoUs, the kinds told anew at each


@dataclass(frozen=True)
class Group:
    """The instances of one size."""

    size: str
    instances: int
    missed: int  # that no counted prediction takes at the analysis' tIoU
    normalised_map: float | None  # average over the protocol's tIoUs; None without instances

    @property
    def miss_rate(self) -> float | None:
        """The share that is missed; None without instances."""
        return self.missed / self.instances if self.instances else None


@dataclass(frozen=True)
class Trait:
    """The instances by one trait, a group a size."""

    name: str
    unit: str
    groups: tuple[Group, ...]
    unknown: int = 0  # instances of which it is not known


@dataclass(frozen=True)
class Analysis:
    """Why a proposals file loses points. Every scored prediction is of one kind, at one tIoU."""

    tiou: float
    result: Result  # the evaluation itself: protocol, mAP, what was counted, notes
    map_at_tiou: float
    profile: tuple[dict[str, int], ...]  # kind -> predictions among the top-1G, top-2G ... top-10G
    beyond: dict[str, int]  # kind -> predictions that are less sure than the top-10G
    gains: dict[str, Gain]  # kind of error -> what mending it is worth
    whole: Group  # all instances
    traits: tuple[Trait, ...]
    notes: tuple[str, ...] = ()

    @property
    def kinds(self) -> dict[str, int]:
        """Kind -> the counted predictions of it: those of the top-10G."""
        return self.profile[-1]

    @property
    def counted(self) -> int:
        """How many predictions count."""
        return sum(self.kinds.values())

    def to_json(self) -> dict[str, Any]:
        """A plain dict, fractions at full precision, for `analysis.json`."""
        facts = {"lowest_tiou": LOWEST, "bounds": BOUNDS, "counted": self.counted, "kinds": self.kinds}
        return facts | asdict(self)
