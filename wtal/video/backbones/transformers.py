"""VideoMAE, V-JEPA 2, ViViT and TimeSformer of `transformers` as backbones, each from a folder on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError

from wtal.core.errors import ConfigError, DataError, first_validation_error, short_message
from wtal.core.fingerprint import content_fingerprint
from wtal.core.io import read_json, to_data_error
from wtal.video.backbones.base import Sampling
from wtal.video.backbones.i3d import choose_precision

CONFIG = "config.json"
WEIGHTS, SHARDS = "model.safetensors", "model.safetensors.index.json"
PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json")
PICTURES_AT_ONCE = 64
Three = tuple[float, float, float]
IMAGENET: tuple[Three, Three] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PLUS_MINUS_ONE: tuple[Three, Three] = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
WIDER = 256 / 224


@dataclass(frozen=True)
class Family:
    """What the models of one type have in common.

    `fps` and `stride` make a snippet of 0.64 s, as long as I3D's. At these rates VideoMAE's 16 pictures and ViViT's
    32 span 2.6 s, much as they were trained; V-JEPA 2's 64 span 10 s and TimeSformer's 8 span 2.6 s, where the
    training had 16 s and 8 s: a shorter window sees an action's ends more sharply.
    """

    model: str  # its class in transformers
    fps: float
    stride: int
    usual: tuple[Three, Three]  # mean and deviation of each colour between 0 and 1 where no file says them
    border: float = 1.0  # the shorter side, in sides of what is seen, where no file says it
    class_tokens: int = 0
    unused: str = "-"  # weights that begin with this make no features: they may be missing
    window: str = "num_frames"  # what config.json calls the number of pictures,
    side: str = "image_size"  # and their side


FAMILIES = {
    "videomae": Family("VideoMAEModel", 6.25, 4, IMAGENET),
    "vjepa2": Family(
        "VJEPA2Model", 6.25, 4, IMAGENET, WIDER, 0, "predictor.", window="frames_per_clip", side="crop_size"
    ),
    "vivit": Family("VivitModel", 12.5, 8, PLUS_MINUS_ONE, WIDER, 1, "pooler."),
    "timesformer": Family("TimesformerModel", 3.125, 2, IMAGENET, class_tokens=1),
}


class _Size(BaseModel):
    shortest_edge: PositiveInt | None = None


class _Processor(BaseModel):
    """What the folder's processor does to a picture's numbers, in this order, and the shorter side it makes."""

    model_config = ConfigDict(allow_inf_nan=False)

    size: _Size | int | None = None
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    offset: bool = False  # take 1 off, after rescaling
    do_normalize: bool = True
    image_mean: Three | None = None
    image_std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None


class Transformer:
    """A backbone whose features are the mean over the last layer's tokens.

    Class tokens (ViViT and TimeSformer have one) are left out, so that the four mean the same: they were trained to
    name a whole clip, the patches' tokens to show what is in it.
    """

    flow = ""

    def __init__(self, model: Any, name: str, weights: str, sampling: Sampling, scale: NDArray, shift: NDArray) -> None:
        """`scale` and `shift`, three numbers each, take a colour's 0 to 255 to what the model was trained on."""
        self.model, self.family = model, FAMILIES[name]
        self.name, self.weights, self.sampling = name, weights, sampling
        self.precision = str(model.dtype).removeprefix("torch.")
        self.widths: tuple[int, ...] = (int(model.config.hidden_size),)
        self.batch = max(1, PICTURES_AT_ONCE // sampling.window)
        self.scale, self.shift = (torch.as_tensor(v, dtype=torch.float32, device=model.device) for v in (scale, shift))

    @torch.inference_mode()
    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N x window x H x W x 3 RGB pictures -> N x D."""
        x = torch.from_numpy(np.ascontiguousarray(pictures)).to(self.scale.device)
        x = (x * self.scale + self.shift).permute(0, 1, 4, 2, 3)  # N x T x 3 x H x W
        tokens = self._tokens(x.to(self.model.dtype).contiguous())  # N x L x D
        # TimeSformer with attention in space alone gives each picture's tokens as a row of their own.
        patches = tokens[:, self.family.class_tokens :].reshape(len(pictures), -1, tokens.shape[-1])
        return patches.float().mean(1).cpu().numpy()

    def _tokens(self, x: torch.Tensor) -> torch.Tensor:
        if self.name == "vjepa2":
            return self.model.get_vision_features(x)  # the encoder without the predictor
        return self.model(x).last_hidden_state


def open_transformer(folder: Path, device: torch.device, precision: str = "auto") -> Transformer:
    """A model from a folder with config.json and model.safetensors, as `save_pretrained` or the hub leaves it.

    `precision` is float32, bfloat16, or auto: bfloat16 where the device multiplies it natively, as for I3D.
    Nothing is fetched, no pickle is opened, no code of the folder is run.
    Raises DataError where a file is missing or unfit, or the weights do not fill the model; ConfigError where
    transformers is missing or does not load.
    """
    if not (folder / CONFIG).is_file():
        raise DataError(f"{folder}: has no {CONFIG}; name the folder of a model that transformers can load")
    name = _object(folder / CONFIG).get("model_type")
    if not isinstance(name, str) or name not in FAMILIES:
        raise DataError(f"{folder / CONFIG}: model_type is {name!r}; use the folder of one of {', '.join(FAMILIES)}")
    files = weight_files(folder)
    dtype = getattr(torch, choose_precision(device) if precision == "auto" else precision)
    model = _load(folder, FAMILIES[name]).to(device, dtype).eval()
    processor = _processor(folder)
    sampling = _sampling(folder, FAMILIES[name], model.config, processor)
    scale, shift = _normalisation(FAMILIES[name], processor)
    return Transformer(model, name, hash_of(files), sampling, scale, shift)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors that hold the model: one file, or all its shards. Raises DataError where there are none."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / SHARDS).is_file():
        shards = _object(folder / SHARDS).get("weight_map")
        names = {str(name) for name in shards.values()} if isinstance(shards, dict) else set()
        if names and all(name == Path(name).name for name in names):
            return [folder / name for name in sorted(names)]
        raise DataError(f"{folder / SHARDS}: weight_map does not name files of its folder; download it again")
    if any(folder.glob("pytorch_model*.bin")):
        raise DataError(
            f"{folder}: the weights are a pickle (.bin), which is never opened here; take the {WEIGHTS} of the "
            f"same model, or make one with its `save_pretrained`"
        )
    raise DataError(f"{folder}: has no {WEIGHTS}; download the whole folder of the model")


def hash_of(files: list[Path]) -> str:
    """`sha256:...` of the files one after the other. Raises DataError where one cannot be read."""
    try:
        return f"sha256:{content_fingerprint(*files)}"
    except OSError as error:
        raise to_data_error(error, Path(error.filename or files[0]), hint="download the model again") from error


def _load(folder: Path, family: Family) -> Any:
    """The model in float32, every weight that makes features read from the folder."""
    kind = _class_of(family)
    try:
        with _silence():
            model, info = kind.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except Exception as error:  # a config can be wrong in more ways than transformers has exceptions for
        raise DataError(f"{folder}: not loaded, {short_message(error)}; download the model again") from error
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(family.unused))
    if missing:
        raise DataError(
            f"{folder}: the weights lack {len(missing)} of the model's tensors ({missing[0]}, ...); "
            f"{CONFIG} and the weights are not of one model, download both again"
        )
    return model


def _class_of(family: Family) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ConfigError("this backbone needs transformers; pip install transformers") from error
    try:
        return getattr(transformers, family.model)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"transformers {transformers.__version__} cannot give {family.model}; run `wtal doctor`, which says why"
        ) from error


@contextmanager
def _silence() -> Iterator[None]:
    """Load without bars and reports: what they say is checked here and said in our own words."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _sampling(folder: Path, family: Family, config: Any, processor: _Processor) -> Sampling:
    """How the model wants a video cut; the shorter side is the processor's, where it says one."""
    window, crop = getattr(config, family.window), getattr(config, family.side)
    if not isinstance(crop, int):
        raise DataError(f"{folder / CONFIG}: {family.side} is {crop}; only a model of square pictures can be used")
    side = processor.size.shortest_edge if isinstance(processor.size, _Size) else None
    return Sampling(family.fps, family.stride, window, max(side or int(crop * family.border), crop), crop)


def _normalisation(family: Family, processor: _Processor) -> tuple[NDArray, NDArray]:
    """Scale and shift, 3 and 3: `picture * scale + shift` is what the model was trained on."""
    usual_mean, usual_deviation = family.usual
    mean, deviation = np.zeros(3), np.ones(3)
    if processor.do_normalize:
        mean = np.array(processor.image_mean or usual_mean)
        deviation = np.array(processor.image_std or usual_deviation)
    scale = processor.rescale_factor if processor.do_rescale else 1.0
    return scale / deviation, -(mean + processor.offset) / deviation


def _processor(folder: Path) -> _Processor:
    path = next((folder / name for name in PROCESSORS if (folder / name).is_file()), None)
    if path is None:
        return _Processor()
    try:
        return _Processor.model_validate(_object(path))
    except ValidationError as error:
        raise DataError(f"{path}: {first_validation_error(error)}; download the model again") from error


def _object(path: Path) -> dict[str, Any]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise DataError(f"{path}: is not a JSON object; download the model again")
    return values
