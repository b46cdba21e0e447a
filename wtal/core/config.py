"""Every setting, frozen and checked. A TOML file lists only what differs from the defaults."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from wtal.core.errors import ConfigError
from wtal.core.io import read_text

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class MethodSpec:
    """What a method of the comparison has: the parts that tell DFE from its controls."""

    local: bool = True
    memory: Literal["none", "kept", "shuffled", "random"] = "none"
    teacher: Literal["none", "global", "dropout"] = "none"


# The controls of docs/method.md. `dfe-global` is trained as `dfe` and scored with its global branch.
METHODS = {
    "baseline": MethodSpec(local=False),
    "local": MethodSpec(),
    "dfe": MethodSpec(memory="kept", teacher="global"),
    "dfe-global": MethodSpec(memory="kept", teacher="global"),
    "dfe-no-distillation": MethodSpec(memory="kept"),
    "self-distillation": MethodSpec(teacher="dropout"),
    "shuffled-memory": MethodSpec(memory="shuffled", teacher="global"),
    "random-memory": MethodSpec(memory="random", teacher="global"),
}


# Upper bounds are far beyond any use: they stop a slip of the pen, or of ill will, before it takes all memory.
Dilation = Annotated[int, Field(ge=1, le=65536)]
Thresholds = Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(max_length=100)]


class ModelConfig(_Settings):
    """The network. `width` is H; `slots` is S, the memory's vectors a class."""

    width: int = Field(128, ge=8, le=4096, multiple_of=4)
    normalise: Literal["none", "training", "video"] = "none"
    dropout: float = Field(0.3, ge=0, lt=1)
    local: Literal["dilated", "attention"] = "dilated"
    smoothing: int = Field(2, ge=0, le=256, description="snippets each side that local enhancement's mean takes in")
    dilations: tuple[Dilation, ...] = Field((1, 2, 4), max_length=16)
    window: int = Field(8, ge=1, le=4096, description="snippets each side that windowed attention sees")
    memory: Literal["learned", "ema"] = "learned"
    slots: int = Field(2, ge=1, le=64)
    momentum: float = Field(0.9, ge=0, lt=1, description="of the ema memory")


class WeightsConfig(_Settings):
    """What each loss counts in the sum; 0 gives it no say."""

    mil: float = Field(1.0, ge=0)
    mil_suppressed: float = Field(1.0, ge=0)
    class_competition: float = Field(1.0, ge=0)
    partial_label: float = Field(3.0, ge=0)
    co_activity: float = Field(1.0, ge=0)
    sparsity: float = Field(0.1, ge=0)
    attention_background_consistency: float = Field(0.1, ge=0)
    mutual: float = Field(1.0, ge=0)
    prototypes: float = Field(1.0, ge=0)
    distillation_attention: float = Field(1.0, ge=0)
    distillation_cas: float = Field(1.0, ge=0)
    distillation_features: float = Field(0.0, ge=0)


class TrainConfig(_Settings):
    """How long and how fast; one step is one batch."""

    seed: int = Field(0, ge=0, lt=2**40)
    steps: int = Field(500, ge=1, le=10**9)
    batch_size: int = Field(10, ge=1, le=4096)
    snippets: int = Field(320, ge=2, le=10**6, description="longer training sequences are cropped to so many")
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-3, ge=0)
    ema_decay: float = Field(0.99, ge=0, lt=1, description="momentum of the averaged weights that are kept")
    topk_ratio: int = Field(16, ge=1, le=10**6, description="r: video logits are the mean of the top T / r")
    warmup: float = Field(0.0, ge=0, lt=1, description="share of the steps before the memory is read")
    distillation_rampup: float = Field(
        0.2, ge=0, le=1, description="share of the steps over which distillation comes in"
    )
    temperature: float = Field(2.0, gt=0)
    save_every: int = Field(100, ge=1, le=10**9)


class LocalizeConfig(_Settings):
    """From snippet scores to proposals."""

    attention_thresholds: Thresholds = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    evidence_thresholds: Thresholds = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
    temperature: float = Field(2.0, gt=0, description="softens CAS before it is cut, as in distillation")
    video_threshold: float = Field(0.02, ge=0, lt=1, description="classes below are left out; the best one stays")
    flank: float = Field(0.25, gt=0, description="outer part each side, as a share of the proposal's length")
    gamma: float = Field(0.2, ge=0, description="share of the video score in a proposal's score")
    nms_sigma: float = Field(0.3, gt=0, description="of Gaussian soft-NMS")
    min_score: float = Field(1e-3, ge=0, description="proposals that soft-NMS pushes below are dropped")


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
            raise ValueError(f"it should be one of {', '.join(METHODS)}")
        return name

    @property
    def method_spec(self) -> MethodSpec:
        """The parts that this run's method has."""
        return METHODS[self.method]


def parse_config(values: dict[str, Any], source: str = "settings") -> Config:
    """Check plain values. Raises ConfigError naming the setting, its place and what would be right."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_sentence(error.errors()[0])}") from error


def read_config(path: Path | None, overrides: tuple[str, ...] = ()) -> Config:
    """A TOML file and `section.name=value` overrides over it. Raises ConfigError or DataError."""
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(read_text(path))
        except ValueError as error:  # a number of thousands of digits too
            raise ConfigError(f"{path}: not valid TOML: {error}") from error
        except RecursionError as error:
            raise ConfigError(f"{path}: brackets or names are nested too deeply; settings need two levels") from error
    config = parse_config(values, str(path) if path else "settings")
    return with_overrides(config, overrides) if overrides else config


def with_overrides(config: Config, overrides: tuple[str, ...]) -> Config:
    """The settings with `section.name=value` overrides over them. Raises ConfigError."""
    values = config.model_dump()
    for override in overrides:
        _set(values, override)
    return parse_config(values)


def flatten(config: Config) -> dict[str, Any]:
    """`section.name` -> value of every setting, as config.json has it."""
    values = config.model_dump(mode="json")
    sections = {name: value for name, value in values.items() if isinstance(value, dict)}
    inner = {f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()}
    return {"method": values["method"], **inner}


def non_default_settings(config: Config) -> dict[str, Any]:
    """`section.name` -> value of what is not the default; method and seed aside, which are said anyway."""
    defaults = flatten(Config())
    said = ("method", "train.seed")
    return {name: value for name, value in flatten(config).items() if value != defaults[name] and name not in said}


def _set(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    *sections, last = (part.strip() for part in name.split("."))
    if not equals or not all([*sections, last]):
        raise ConfigError(f"--set {override}: write it as section.name=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text  # a bare word is a string
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {override}: {section} has no settings of its own")
    values[last] = value


def _sentence(problem: "ErrorDetails") -> str:
    """What pydantic found, in our words: which setting, what was given, what would be right."""
    place, (_, should, right) = problem["loc"], problem["msg"].partition("should")
    name = ".".join(str(part) or "''" for part in place) or "the configuration"
    if problem["type"] == "extra_forbidden":
        return f"there is no setting {name}; known here: {_known(place[:-1])}"
    if problem["type"] == "model_type":
        return f"{name} is {_shown(problem['input'])}; it should hold settings by name: {_known(place)}"
    right = right.replace(" after validation", "")
    return f"{name} is {_shown(problem['input'])}; {f'it should{right}' if should else problem['msg'].lower()}"


def _shown(value: object) -> str:
    try:
        return shortened(value)
    except ValueError:
        return "a number of thousands of digits"


def _known(place: tuple[int | str, ...]) -> str:
    settings: type[BaseModel] = Config
    for name in place:
        annotation = settings.model_fields[str(name)].annotation
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
        settings = annotation
    return ", ".join(settings.model_fields)
