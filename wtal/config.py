"""Every setting, frozen and checked. A TOML file lists only what differs from the defaults."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from wtal.errors import ConfigError
from wtal.files import read_text


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Method:
    """What a method of the comparison has: the parts that tell DFE from its controls."""

    local: bool = True
    memory: Literal["none", "kept", "shuffled", "random"] = "none"
    teacher: Literal["none", "global", "dropout"] = "none"


# method.md section 7. `dfe-global` is trained as `dfe` and scored with its global branch.
METHODS = {
    "baseline": Method(local=False),
    "local": Method(),
    "dfe": Method(memory="kept", teacher="global"),
    "dfe-global": Method(memory="kept", teacher="global"),
    "dfe-no-distillation": Method(memory="kept"),
    "self-distillation": Method(teacher="dropout"),
    "shuffled-memory": Method(memory="shuffled", teacher="global"),
    "random-memory": Method(memory="random", teacher="global"),
}


class ModelConfig(_Settings):
    """The network. `width` is H; `slots` is S, the memory's vectors a class."""

    width: int = Field(128, ge=8, multiple_of=4)
    normalise: Literal["none", "training", "video"] = "none"
    dropout: float = Field(0.3, ge=0, lt=1)
    local: Literal["dilated", "attention"] = "dilated"
    smoothing: int = Field(2, ge=0, description="snippets each side of the mean that local enhancement starts from")
    dilations: tuple[Annotated[int, Field(ge=1)], ...] = (1, 2, 4)
    window: int = Field(8, ge=1, description="snippets each side that windowed attention sees")
    memory: Literal["learned", "ema"] = "learned"
    slots: int = Field(2, ge=1)
    momentum: float = Field(0.9, ge=0, lt=1, description="of the ema memory")


class WeightsConfig(_Settings):
    """What each loss counts in the sum; 0 leaves it out."""

    mil: float = Field(1.0, ge=0)
    mil_suppressed: float = Field(1.0, ge=0)
    exclusive: float = Field(1.0, ge=0)
    candidates: float = Field(1.0, ge=0)
    coactivity: float = Field(1.0, ge=0)
    sparsity: float = Field(0.1, ge=0)
    guide: float = Field(0.1, ge=0)
    mutual: float = Field(1.0, ge=0)
    prototypes: float = Field(1.0, ge=0)
    distillation_attention: float = Field(1.0, ge=0)
    distillation_cas: float = Field(1.0, ge=0)
    distillation_features: float = Field(0.0, ge=0)


class TrainConfig(_Settings):
    """How long and how fast; one step is one batch."""

    seed: int = Field(0, ge=0, lt=2**40)
    steps: int = Field(500, ge=1)
    batch_size: int = Field(10, ge=1)
    snippets: int = Field(320, ge=2, description="longer training sequences are cropped to this many snippets")
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-3, ge=0)
    average: float = Field(0.99, ge=0, lt=1, description="momentum of the averaged weights that are kept")
    topk_ratio: int = Field(16, ge=1, description="r: video logits are the mean of the top T / r snippets")
    warmup: float = Field(0.2, ge=0, lt=1, description="share of the steps before the memory is read")
    ramp: float = Field(0.2, ge=0, le=1, description="share of the steps over which distillation comes in")
    temperature: float = Field(2.0, gt=0)
    save_every: int = Field(100, ge=1)


class LocalizeConfig(_Settings):
    """From snippet scores to proposals."""

    attention_thresholds: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    evidence_thresholds: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
    temperature: float = Field(2.0, gt=0, description="softens CAS before it is cut, as in distillation")
    video_threshold: float = Field(0.02, ge=0, lt=1, description="classes below are left out; the best one stays")
    flank: float = Field(0.25, gt=0, description="outer part each side, as a share of the proposal's length")
    gamma: float = Field(0.2, ge=0, description="share of the video score in a proposal's score")
    nms_sigma: float = Field(0.3, gt=0, description="of Gaussian soft-NMS")
    min_score: float = Field(1e-3, ge=0, description="proposals that soft-NMS pushes below are dropped")

    @model_validator(mode="after")
    def _thresholds_inside(self) -> Self:
        if not all(0 < t < 1 for t in self.attention_thresholds + self.evidence_thresholds):
            raise ValueError("thresholds lie between 0 and 1")
        return self


class Config(_Settings):
    """A whole run, as it stands in the run folder's config.json."""

    method: str = "dfe"
    model: ModelConfig = ModelConfig()
    weights: WeightsConfig = WeightsConfig()
    train: TrainConfig = TrainConfig()
    localize: LocalizeConfig = LocalizeConfig()

    @field_validator("method")
    @classmethod
    def _method_known(cls, name: str) -> str:
        if name not in METHODS:
            raise ValueError(f"use one of {', '.join(METHODS)}")
        return name

    @property
    def parts(self) -> Method:
        """The parts that this run's method has."""
        return METHODS[self.method]


def parse_config(values: dict[str, Any], source: str = "settings") -> Config:
    """Check plain values. Raises ConfigError naming the setting, its place and what would be right."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            known = ", ".join(_known(first["loc"][:-1]))
            raise ConfigError(f"{source}: there is no setting {name}; known here: {known}") from error
        raise ConfigError(f"{source}: {name} is {first['input']!r}: {first['msg'].lower()}") from error


def read_config(path: Path | None, overrides: tuple[str, ...] = ()) -> Config:
    """A TOML file and `section.name=value` overrides over it. Raises ConfigError or DataError."""
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(read_text(path))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: not valid TOML: {error}") from error
    for override in overrides:
        _set(values, override)
    return parse_config(values, str(path) if path else "settings")


def _set(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"--set {override}: write it as section.name=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a string
    *sections, last = name.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {override}: {section} has no settings of its own")
    values[last] = value


def _known(place: tuple[int | str, ...]) -> list[str]:
    settings: type[BaseModel] = Config
    for name in place:
        annotation = settings.model_fields[str(name)].annotation
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
        settings = annotation
    return list(settings.model_fields)
