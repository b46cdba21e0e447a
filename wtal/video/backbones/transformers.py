"""VideoMAE, V-JEPA 2, ViViT and TimeSformer models of `transformers` as backbones, each read from a local folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError

from wtal.core.errors import ConfigError, DataError, first_validation_error, short_message
from wtal.core.fingerprint import content_fingerprint
from wtal.core.hardware import choose_device
from wtal.core.io import read_json, to_data_error
from wtal.video.backbones.base import Backbone, BackboneOptions, Sampling, choose_precision

CONFIG_NAME = "config.json"
WEIGHTS_NAME, SHARDS_NAME = "model.safetensors", "model.safetensors.index.json"
PROCESSOR_NAMES = ("video_preprocessor_config.json", "preprocessor_config.json")
FRAMES_PER_BATCH = 64
HINT_DOWNLOAD = "download the model again"

Triple = tuple[float, float, float]
IMAGENET: tuple[Triple, Triple] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and standard deviation
PLUS_MINUS_ONE: tuple[Triple, Triple] = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
RESIZE_RATIO = 256 / 224


@dataclass(frozen=True)
class Family:
    """What the models of one type have in common.

    `fps` and `stride` make a snippet of 0.64 s, as long as I3D's. At these rates VideoMAE's 16 frames and ViViT's
    32 frames span 2.6 s, close to their training; V-JEPA 2's 64 span 10 s and TimeSformer's 8 span 2.6 s, where the
    training used 16 s and 8 s: a shorter window locates the ends of an action more precisely.
    """

    model_class: str  # name in transformers
    fps: float
    stride: int
    mean_std: tuple[Triple, Triple]  # of each color between 0 and 1, where no processor file gives them
    side_to_crop: float = 1.0  # shorter side relative to the crop, where no processor file gives it
    class_tokens: int = 0
    unused_prefix: str = "-"  # weights with this prefix do not contribute to the features and may be missing
    window_key: str = "num_frames"  # key of the number of frames in config.json
    crop_key: str = "image_size"  # key of their side


FAMILIES = {
    "videomae": Family("VideoMAEModel", 6.25, 4, IMAGENET),
    "vjepa2": Family(
        "VJEPA2Model",
        6.25,
        4,
        IMAGENET,
        side_to_crop=RESIZE_RATIO,
        unused_prefix="predictor.",
        window_key="frames_per_clip",
        crop_key="crop_size",
    ),
    "vivit": Family(
        "VivitModel", 12.5, 8, PLUS_MINUS_ONE, side_to_crop=RESIZE_RATIO, class_tokens=1, unused_prefix="pooler."
    ),
    "timesformer": Family("TimesformerModel", 3.125, 2, IMAGENET, class_tokens=1),
}


class _Size(BaseModel):
    shortest_edge: PositiveInt | None = None


class _Processor(BaseModel):
    """The processor's normalization steps, in the order in which they are applied, and the size that it resizes to."""

    model_config = ConfigDict(allow_inf_nan=False)

    size: _Size | int | None = None
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    offset: bool = False  # subtract 1 after rescaling
    do_normalize: bool = True
    image_mean: Triple | None = None
    image_std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None


class TransformersBackbone(Backbone):
    """The features are the mean over the tokens of the last layer.

    Class tokens (ViViT and TimeSformer have one) are left out, so that the features of all four families mean the
    same: class tokens are trained to classify a whole clip, patch tokens to describe its content.
    """

    accepted_options = frozenset({"weights"})

    def __init__(self, model: Any, name: str, weights: str, sampling: Sampling, scale: NDArray, shift: NDArray) -> None:
        """Wrap a loaded model.

        Args:
            model: A model of transformers, in evaluation mode.
            name: Its family, a key of `FAMILIES`.
            weights: `sha256:...` of the weight files.
            sampling: How the model expects a video to be cut.
            scale: Three factors and
            shift: three summands that map a color from 0 to 255 to the range that the model was trained on.
        """
        self.model, self.family = model, FAMILIES[name]
        self.name, self.weights, self.sampling = name, weights, sampling
        self.precision = str(model.dtype).removeprefix("torch.")
        self.widths = (int(model.config.hidden_size),)
        self.batch_size = max(1, FRAMES_PER_BATCH // sampling.window)
        self.scale, self.shift = (torch.as_tensor(v, dtype=torch.float32, device=model.device) for v in (scale, shift))

    @classmethod
    def from_options(cls, options: BackboneOptions) -> Self:
        """Open the folder that `name` is, or `weights` where `name` is a family."""
        device = choose_device(options.device)
        if options.name not in FAMILIES:
            if options.weights:
                raise ConfigError(
                    "--backbone is the folder of a model, which contains the weights",
                    hint="remove --weights",
                    code="unsupported-option",
                )
            return cls.from_folder(Path(options.name), device, options.precision)
        if options.weights is None:
            raise ConfigError(
                f"backbone {options.name} needs the folder of a model",
                hint="give the folder with --backbone",
                code="missing-option",
            )
        backbone = cls.from_folder(options.weights, device, options.precision)
        if backbone.name != options.name:
            raise DataError(
                f"contains a {backbone.name} model, not {options.name}", path=options.weights, code="model-mismatch"
            )
        return backbone

    @classmethod
    def from_folder(cls, folder: Path, device: torch.device, precision: str = "auto") -> Self:
        """Open a folder with config.json and model.safetensors, as written by `save_pretrained` or the Hub.

        Nothing is downloaded, no pickle is opened and no code of the folder is run.

        Args:
            folder: The folder of the model.
            device: Where to run it.
            precision: `float32`, `bfloat16`, or `auto`: bfloat16 where the device multiplies it natively.

        Raises:
            DataError: A file is missing or unsuitable, or the weights are incomplete.
            ConfigError: transformers is not installed or does not work.
        """
        config = folder / CONFIG_NAME
        if not config.is_file():
            raise DataError(
                f"no {CONFIG_NAME} in this folder",
                path=folder,
                hint="give the folder of a model of transformers",
                code="file-not-found",
            )
        name = _read_object(config).get("model_type")
        if not isinstance(name, str) or name not in FAMILIES:
            raise DataError(
                f"unsupported model_type {name!r}",
                path=config,
                hint=f"use a model of type {', '.join(FAMILIES)}",
                code="unknown-name",
            )
        files = _weight_files(folder)
        dtype = getattr(torch, choose_precision(device, precision))
        model = _load_model(folder, FAMILIES[name]).to(device, dtype).eval()
        processor = _read_processor(folder)
        sampling = _sampling(config, FAMILIES[name], model.config, processor)
        scale, shift = _normalization(FAMILIES[name], processor)
        return cls(model, name, _hash_files(files), sampling, scale, shift)

    @torch.inference_mode()
    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB frames, N x window x H x W x 3, to features, N x D."""
        x = torch.from_numpy(np.ascontiguousarray(frames)).to(self.scale.device)
        x = (x * self.scale + self.shift).permute(0, 1, 4, 2, 3)  # N x T x 3 x H x W
        x = x.to(self.model.dtype).contiguous()
        encoder_only = self.name == "vjepa2"  # its predictor is not needed
        tokens = self.model.get_vision_features(x) if encoder_only else self.model(x).last_hidden_state  # N x L x D
        # TimeSformer with spatial attention only returns one row per frame instead of one per snippet.
        patches = tokens[:, self.family.class_tokens :].reshape(len(frames), -1, tokens.shape[-1])
        return patches.float().mean(1).cpu().numpy()


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files of the model: one file, or all its shards."""
    if (folder / WEIGHTS_NAME).is_file():
        return [folder / WEIGHTS_NAME]
    if (folder / SHARDS_NAME).is_file():
        shards = _read_object(folder / SHARDS_NAME).get("weight_map")
        names = {str(name) for name in shards.values()} if isinstance(shards, dict) else set()
        if names and all(name == Path(name).name for name in names):
            return [folder / name for name in sorted(names)]
        raise DataError(
            "weight_map must contain names of files in the same folder",
            path=folder / SHARDS_NAME,
            hint=HINT_DOWNLOAD,
            code="invalid-value",
        )
    if any(folder.glob("pytorch_model*.bin")):
        raise DataError(
            "the weights are a pickle (.bin), which is never opened because it can run code",
            path=folder,
            hint=f"download {WEIGHTS_NAME} of the same model, or create it with `save_pretrained`",
            code="unsafe-pickle",
        )
    raise DataError(
        f"no {WEIGHTS_NAME} in this folder", path=folder, hint="download the complete model", code="file-not-found"
    )


def _hash_files(files: list[Path]) -> str:
    """`sha256:...` of the concatenated files."""
    try:
        return f"sha256:{content_fingerprint(*files)}"
    except OSError as error:
        raise to_data_error(error, Path(error.filename or files[0]), HINT_DOWNLOAD) from error


def _load_model(folder: Path, family: Family) -> Any:
    """The model in float32. All weights that contribute to the features must be in the folder."""
    model_class = _model_class(family)
    try:
        with _suppress_output():
            model, info = model_class.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except Exception as error:  # an invalid config can raise any exception in transformers
        message = f"transformers cannot load this model ({short_message(error)})"
        raise DataError(message, path=folder, hint=HINT_DOWNLOAD, code="invalid-model") from error
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(family.unused_prefix))
    if missing:
        raise DataError(
            f"the weights lack {len(missing)} tensors of the model ({missing[0]}, ...)",
            path=folder,
            hint=f"{CONFIG_NAME} and the weights belong to different models, download both again",
            code="weights-mismatch",
        )
    return model


def _model_class(family: Family) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(
            "this backbone needs transformers", hint="pip install 'wtal[transformers]'", code="missing-dependency"
        ) from error
    try:
        return getattr(transformers, family.model_class)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"transformers {transformers.__version__} cannot import {family.model_class}",
            hint="run `wtal doctor` for the cause",
            code="broken-dependency",
        ) from error


@contextmanager
def _suppress_output() -> Iterator[None]:
    """Without progress bars and load reports of transformers: missing weights are checked here."""
    from transformers.utils import logging

    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


def _sampling(config_path: Path, family: Family, config: Any, processor: _Processor) -> Sampling:
    """How the model expects a video to be cut. The shorter side is the processor's, if it has one."""
    window, crop = getattr(config, family.window_key), getattr(config, family.crop_key)
    if not isinstance(crop, int):
        raise DataError(
            f"{family.crop_key} is {crop}, but only models of square frames are supported",
            path=config_path,
            code="unsupported-model",
        )
    side = processor.size.shortest_edge if isinstance(processor.size, _Size) else None
    return Sampling(family.fps, family.stride, window, max(side or int(crop * family.side_to_crop), crop), crop)


def _normalization(family: Family, processor: _Processor) -> tuple[NDArray, NDArray]:
    """Scale and shift, 3 each: `frame * scale + shift` is the input that the model was trained on."""
    default_mean, default_std = family.mean_std
    mean, std = np.zeros(3), np.ones(3)
    if processor.do_normalize:
        mean = np.array(processor.image_mean or default_mean)
        std = np.array(processor.image_std or default_std)
    scale = processor.rescale_factor if processor.do_rescale else 1.0
    return scale / std, -(mean + processor.offset) / std


def _read_processor(folder: Path) -> _Processor:
    path = next((folder / name for name in PROCESSOR_NAMES if (folder / name).is_file()), None)
    if path is None:
        return _Processor()
    try:
        return _Processor.model_validate(_read_object(path))
    except ValidationError as error:
        message = first_validation_error(error)
        raise DataError(message, path=path, hint=HINT_DOWNLOAD, code="invalid-value") from error


def _read_object(path: Path) -> dict[str, Any]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise DataError("not a JSON object", path=path, hint=HINT_DOWNLOAD, code="invalid-value")
    return values
