"""The built-in model `kinetics400`: a model folder in the user's cache, made from the I3D weights."""

import json
from functools import partial
from pathlib import Path

import torch

from wtal.core.clock import SnippetClock
from wtal.core.config import Config, LocalizeConfig
from wtal.core.errors import DataError
from wtal.core.io import atomic_write_dir, read_json
from wtal.core.methods import METHODS, MethodSpec
from wtal.data.provenance import Provenance
from wtal.models.checkpoint import ModelMetadata, write_model
from wtal.models.kinetics400 import METHOD, SnippetClassifier, build, class_names
from wtal.video.backbones.cache import cached_weights
from wtal.video.backbones.i3d import I3D
from wtal.video.backbones.i3d_network import FEATURES, LOGITS
from wtal.video.backbones.i3d_weights import load_weights

NAME = "kinetics400"
DESCRIPTION = "a fully supervised recognition model of 400 Kinetics classes, not trained on your classes"
MIN_SCORE = 0.1  # of a segment: a video in which none of the classes occurs has lower scores


def resolve_model(model: Path) -> Path:
    """The folder of a model. The name `kinetics400` is the built-in model, unless there is a folder of this name.

    Args:
        model: A run or model folder, or the name.

    Raises:
        DataError: The built-in model is needed, and its weights have not been downloaded (code `weights-not-found`).
    """
    return open_kinetics400() if model == Path(NAME) and not model.exists() else model


def kinetics400_folder() -> Path:
    """Where the built-in model is stored."""
    return cached_weights().parent / NAME


def is_kinetics400(model: Path) -> bool:
    """Whether a folder is that of the built-in model."""
    return model == kinetics400_folder()


def open_kinetics400() -> Path:
    """Allow the built-in model to be loaded and return its folder, which is written if it is missing or outdated.

    Raises:
        DataError: The I3D weights have not been downloaded (code `weights-not-found`), do not have 400 classes, or the
            folder cannot be written.
    """
    METHODS.setdefault(METHOD, MethodSpec(build=build))
    path = cached_weights()
    if not path.is_file():
        raise DataError(
            f"without --model, {NAME} is used, and its weights have not been downloaded",
            hint="run `wtal weights` once (47 MB), or pass a trained model with --model",
            code="weights-not-found",
        )
    weights, digest = load_weights(None)
    names = class_names()
    if len(weights.get(f"{LOGITS}.bias", ())) != len(names):
        raise DataError(
            f"the weights have no classifier of {len(names)} classes",
            path=path,
            hint="delete the file and run `wtal weights`",
            code="weights-mismatch",
        )
    sampling = I3D.sampling
    provenance = Provenance(
        I3D.name, digest, sampling.fps, sampling.stride, sampling.window, sampling.side, sampling.crop
    )
    # The classifier was trained with cross-entropy, so its probabilities are scores without a temperature or a bonus.
    settings = LocalizeConfig(temperature=1.0, gamma=0.0, min_score=MIN_SCORE)
    config = Config(method=METHOD, localize=settings)
    meta = ModelMetadata(config, names, (FEATURES,), SnippetClock(sampling.seconds), 0, provenance=provenance)
    network = SnippetClassifier(FEATURES, len(names))
    with torch.no_grad():
        network.classifier.weight.copy_(weights[f"{LOGITS}.weight"].flatten(1))
        network.classifier.bias.copy_(weights[f"{LOGITS}.bias"])
    folder = kinetics400_folder()
    if not _is_current(folder, meta):
        atomic_write_dir(folder, partial(write_model, meta=meta, model=network))
    return folder


def _is_current(folder: Path, meta: ModelMetadata) -> bool:
    """Whether the stored model was written with the same settings, by the same version, of the same weights."""
    try:
        stored = read_json(folder / "config.json")
    except DataError:
        return False
    return stored == json.loads(json.dumps(meta.to_json())) and (folder / "model.safetensors").is_file()
