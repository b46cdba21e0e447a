"""All settings of a run, frozen and validated. A TOML file lists only those that differ from the defaults."""

import tomllib
from pathlib import Path
from reprlib import repr as shorten
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from wtal.core.errors import ConfigError
from wtal.core.io import read_text
from wtal.core.methods import DEFAULT_METHOD, METHODS, MethodSpec, find_method, is_import_path, supervision_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# Upper bounds are far above any useful value. They reject typos and hostile values before these exhaust the memory.
SEED_LIMIT = 2**40
Dilation = Annotated[int, Field(ge=1, le=65536)]
Thresholds = Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(max_length=100)]
Weight = Annotated[float, Field(ge=0)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelConfig(_Settings):
    """The network."""

    width: int = Field(128, ge=8, le=4096, multiple_of=4, description="hidden width H of the network")
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout probability")
    local: Literal["dilated", "attention"] = Field(
        "dilated", description="local enhancement: dilated convolutions or windowed self-attention"
    )
    smoothing: int = Field(2, ge=0, le=256, description="snippets on each side in the smoothing layer; 0: no smoothing")
    dilations: tuple[Dilation, ...] = Field(
        (1, 2, 4), max_length=16, description="dilation of each dilated block; an empty list: smoothing only"
    )
    window: int = Field(8, ge=1, le=4096, description="snippets on each side that windowed attention sees")


class WeightsConfig(_Settings):
    """The weight of each loss in the total; 0 switches a loss off.

    The names are those of `wtal.training.losses.LOSSES`, so the weight of a registered loss of your own stands here
    too. Training rejects weights without a loss.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Weight]

    mil: Weight = Field(1.0, description="video labels from the highest-scoring snippets, with background")
    mil_suppressed: Weight = Field(1.0, description="the same after attention has suppressed the background")
    class_competition: Weight = Field(1.0, description="the classes of a video compete for its snippets")
    partial_label: Weight = Field(3.0, description="no snippet belongs to a class that its video does not have")
    co_activity: Weight = Field(1.0, description="videos that share a class have similar features where it is active")
    sparsity: Weight = Field(0.1, description="actions are rare")
    attention_background_consistency: Weight = Field(
        0.1, description="attention and class scores agree on what is background"
    )
    mutual: Weight = Field(1.0, description="the attention of each modality follows that of the others")
    distillation_attention: Weight = Field(1.0, description="stage two: attention follows the teacher's foreground")
    distillation_cas: Weight = Field(1.0, description="stage two: class scores follow the teacher's")
    labelled_attention: Weight = Field(
        3.0, description="attention is 1 on snippets labeled with a class, 0 on labeled background"
    )
    labelled_cas: Weight = Field(3.0, description="class scores of labeled snippets follow their labels")


class TrainConfig(_Settings):
    """Training; one step is one batch."""

    seed: int = Field(0, ge=0, lt=SEED_LIMIT, description="random seed of initial weights, batches and crops")
    supervision: Literal["tags", "points", "segments", "all"] = Field(
        "tags", description="labels that are used: only tags, or also points, segments or both"
    )
    labelled_share: float = Field(
        0.5, ge=0, le=1, description="share of a batch that is drawn from videos with labeled snippets"
    )
    steps: int = Field(500, ge=1, le=10**9, description="number of training steps")
    batch_size: int = Field(10, ge=1, le=4096, description="videos in a batch")
    snippets: int = Field(320, ge=2, le=10**6, description="longer videos are cropped to this many snippets")
    learning_rate: float = Field(1e-3, gt=0, description="initial learning rate; it falls to 0 along a cosine")
    weight_decay: float = Field(1e-3, ge=0, description="weight decay of the optimizer")
    ema_decay: float = Field(0.99, ge=0, lt=1, description="decay of the moving average of the weights that is saved")
    topk_ratio: int = Field(16, ge=1, le=10**6, description="r: video logits are the mean of the top T / r snippets")
    save_every: int = Field(100, ge=1, le=10**9, description="steps between checkpoints")


class TeacherConfig(_Settings):
    """The teacher of `dfe`: the models of stage one and the memory that is written with them."""

    models: int = Field(8, ge=1, le=100, description="number K of models in stage one, trained from different seeds")
    reliability: float = Field(
        8.0,
        ge=0,
        le=100,
        description="weight of a model for a class: its average precision on the tags, to this power",
    )
    memory_share: float = Field(
        0.75, ge=0, le=1, description="share of the memory in the teacher; the rest is the posterior of the models"
    )
    weak_losses: float = Field(0.3, ge=0, description="factor of the losses on tags in stage two")


class MemoryConfig(_Settings):
    """The global memory of `dfe`."""

    video_share: float = Field(
        0.2, gt=0, le=1, description="share of a video that is written, divided among its classes and background"
    )
    min_probability: float = Field(0.5, ge=0, lt=1, description="less probable snippets are not written")
    max_entries: int = Field(500, ge=1, le=10**6, description="entries kept of each class")
    shrinkage: float = Field(
        0.2, ge=0, description="weight of the mean variance that is added to each variance before whitening"
    )
    neighbours: int = Field(
        20, ge=1, le=10**6, description="nearest entries of each class that a snippet is compared with"
    )
    temperature: float = Field(0.1, gt=0, description="temperature of the similarities to the classes")


class LocalizeConfig(_Settings):
    """From snippet scores to proposals."""

    attention_thresholds: Thresholds = Field(
        (0.3, 0.5, 0.7), description="thresholds on attention that give candidates"
    )
    evidence_thresholds: Thresholds = Field(
        (0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
        description="thresholds on the scores of a class, relative to their range in the video",
    )
    temperature: float = Field(2.0, gt=0, description="temperature of the class scores before they are thresholded")
    class_threshold: float = Field(
        0.1, ge=0, lt=1, description="classes whose highest snippet score is lower are left out, except the best one"
    )
    flank: float = Field(0.15, gt=0, description="length of the flank on each side, relative to the proposal")
    gamma: float = Field(0.1, ge=0, description="weight of the video score in the score of a proposal")
    nms_sigma: float = Field(0.3, gt=0, description="sigma of Gaussian soft-NMS")
    min_score: float = Field(1e-3, ge=0, description="proposals that score lower after soft-NMS are dropped")
    boundary_reach: float = Field(
        0.15,
        ge=0,
        le=1,
        description="how far a boundary may move to a change of the features, relative to the proposal; 0: not at all",
    )


class Config(_Settings):
    """All settings of a run, as saved in config.json."""

    method: str = Field(DEFAULT_METHOD, description="name of a method, or `my_module:build` for one of your own")
    model: ModelConfig = ModelConfig()
    weights: WeightsConfig = WeightsConfig()
    train: TrainConfig = TrainConfig()
    teacher: TeacherConfig = TeacherConfig()
    memory: MemoryConfig = MemoryConfig()
    localize: LocalizeConfig = LocalizeConfig()

    @field_validator("method")
    @classmethod
    def _require_method_name(cls, name: str) -> str:
        if name not in METHODS and not is_import_path(name):
            names = ", ".join(METHODS)
            raise ValueError(f"it should be {names}; or registered in wtal.core.methods.METHODS; or my_module:build")
        return name

    @property
    def supervision(self) -> str:
        """The labels that the method is trained on: `train.supervision`, or `segments` for a supervised method."""
        return supervision_of(self.method, self.train.supervision)

    @property
    def method_spec(self) -> MethodSpec:
        """What the method of this run consists of. Raises ConfigError if it is not registered."""
        return find_method(self.method)


def parse_config(values: dict[str, Any], path: Path | None = None) -> Config:
    """Validate plain values.

    Args:
        values: Sections and settings, as in a TOML file.
        path: The file that they were read from, for error messages.

    Returns:
        The settings; those that are not given have their defaults.

    Raises:
        ConfigError: A setting is unknown (code `unknown-setting`) or out of range (`invalid-value`).

    Example:
        >>> config = wtal.parse_config({"model": {"width": 64}, "train": {"steps": 1000}})
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise _config_error(error.errors()[0], path) from error


def read_config(path: str | Path | None, overrides: tuple[str, ...] = ()) -> Config:
    """Read a TOML file and apply overrides such as `train.steps=1000`.

    Args:
        path: The file; None for the defaults.
        overrides: Assignments `section.name=value`, which take precedence over the file.

    Returns:
        The settings; those that are not given have their defaults.

    Raises:
        ConfigError: The file is not valid TOML, or a setting is unknown or out of range.
        DataError: The file cannot be read.

    Example:
        >>> config = wtal.read_config(None, ("train.steps=1000", "method=local"))
        >>> print(config.method, config.train.steps)
    """
    values: dict[str, Any] = {}
    path = None if path is None else Path(path)
    if path is not None:
        try:
            values = tomllib.loads(read_text(path))
        except ValueError as error:  # also integers with thousands of digits
            raise ConfigError(f"not valid TOML: {error}", path=path, code="invalid-toml") from error
        except RecursionError as error:
            hint = "write settings in at most two levels"
            raise ConfigError("TOML is nested too deeply", path=path, hint=hint, code="invalid-toml") from error
    config = parse_config(values, path)
    return with_overrides(config, overrides) if overrides else config


def with_overrides(config: Config, overrides: tuple[str, ...]) -> Config:
    """Return the settings after overrides such as `train.steps=1000`. Raises ConfigError."""
    values = config.model_dump()
    for override in overrides:
        _apply_override(values, override)
    return parse_config(values)


def flatten(config: Config) -> dict[str, Any]:
    """Every setting as `section.name` -> value, as in config.json."""
    return _flatten(config.model_dump(mode="json"))


def _flatten(values: dict[str, Any]) -> dict[str, Any]:
    sections = {name: value for name, value in values.items() if isinstance(value, dict)}
    settings = {f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()}
    return {"method": values.get("method"), **settings}


def describe_changes(old: dict[str, Any], new: Config) -> list[str]:
    """The settings that differ, such as `train.steps = 500, not 1000`.

    Args:
        old: The settings as in config.json.
        new: The current settings.
    """
    before, after = _flatten(old), flatten(new)
    names = sorted(before.keys() | after.keys())
    changes = {name: (before.get(name), after.get(name)) for name in names}
    return [f"{name} = {_shorten(old)}, not {_shorten(new)}" for name, (old, new) in changes.items() if old != new]


def non_default_settings(config: Config) -> dict[str, Any]:
    """The settings that differ from the defaults, except method and seed, which are always reported."""
    defaults, skipped = flatten(Config()), ("method", "train.seed")
    return {k: v for k, v in flatten(config).items() if v != defaults.get(k) and k not in skipped}


def _apply_override(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    *sections, last = (part.strip() for part in name.split("."))
    if not equals or not all([*sections, last]):
        raise ConfigError(f"cannot parse --set {override}", hint="write section.name=value", code="invalid-override")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text  # a bare word is a string
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(
                f"cannot parse --set {override}", hint=f"{section} is no section", code="invalid-override"
            )
    values[last] = value


def _config_error(details: "ErrorDetails", path: Path | None) -> ConfigError:
    location = details["loc"]
    name = ".".join(str(part) or "''" for part in location)
    if details["type"] == "extra_forbidden":
        hint = f"known settings: {_setting_names(location[:-1])}"
        return ConfigError(f"unknown setting {name}", path=path, hint=hint, code="unknown-setting")
    message = f"{name or 'the configuration'} is {_shorten(details['input'])}"
    if details["type"] == "model_type":
        hint = f"it should be a section with the settings {_setting_names(location)}"
    elif "should" in details["msg"]:
        _, _, expected = details["msg"].partition("should ")
        hint = f"it should {expected.replace(' after validation', '')}"
    else:
        hint = details["msg"].lower()
    return ConfigError(message, path=path, hint=hint, code="invalid-value")


def _shorten(value: object) -> str:
    try:
        return shorten(value)
    except ValueError:  # Python refuses to print an integer of more than 4300 digits
        return "a number with thousands of digits"


def _setting_names(location: tuple[int | str, ...]) -> str:
    section: type[BaseModel] = Config
    for name in location:
        annotation = section.model_fields[str(name)].annotation
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
        section = annotation
    return ", ".join(section.model_fields)
