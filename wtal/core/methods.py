"""The methods by name: the parts of each network and the teacher of its local branch."""

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wtal.core.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from wtal.core.config import Config

    BuildNetwork = Callable[[Config, Sequence[int], int], nn.Module]


@dataclass(frozen=True)
class MethodSpec:
    """The components of a method.

    Attributes:
        local: Whether the local branch mixes neighboring snippets (local enhancement).
        teacher: What the local branch learns from besides the tags: `none`; `memory`, the models of stage one enhanced
            by the memory; `ensemble`, these models without the memory; `segments`, the true segments of the training
            videos (supervised, as an upper bound).
        memory: What the teacher reads: the memory as it was `written`; or, as a control, with `shuffled` classes, with
            `random` entries, or only the entries of the `own` video.
        branch: The branch that a comparison scores: `local`; `ensemble`, the models of stage one averaged; `global`,
            these enhanced by the memory.
        trained_as: The method whose trained weights this one shares, if it is only scored differently.
        build: For a method of your own: a function `build(config, modalities, num_classes)` that returns the network.
    """

    local: bool = True
    teacher: Literal["none", "memory", "ensemble", "segments"] = "none"
    memory: Literal["written", "shuffled", "random", "own"] = "written"
    branch: Literal["local", "ensemble", "global"] = "local"
    trained_as: str | None = None
    build: "BuildNetwork | None" = None

    @property
    def has_two_stages(self) -> bool:
        """Whether the teacher consists of models that are trained first."""
        return self.teacher in ("memory", "ensemble")


DEFAULT_METHOD = "dfe"

# From `dfe-no-memory` on: the controls of docs/method.md. Add a method of your own, or name it `my_module:build`.
METHODS: dict[str, MethodSpec] = {
    "baseline": MethodSpec(local=False),
    "local": MethodSpec(),
    "dfe": MethodSpec(teacher="memory"),
    "dfe-no-memory": MethodSpec(teacher="ensemble"),
    "shuffled-memory": MethodSpec(teacher="memory", memory="shuffled"),
    "random-memory": MethodSpec(teacher="memory", memory="random"),
    "own-video-memory": MethodSpec(teacher="memory", memory="own"),
    "ensemble": MethodSpec(teacher="memory", branch="ensemble", trained_as="dfe"),
    "dfe-global": MethodSpec(teacher="memory", branch="global", trained_as="dfe"),
    "supervised": MethodSpec(teacher="segments"),
}

_IMPORT_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_import_path(name: str) -> bool:
    """Whether a method's name has the form `package.module:function`."""
    return _IMPORT_PATH.fullmatch(name) is not None


def find_method(name: str) -> MethodSpec:
    """Return a registered method; never imports code.

    Raises:
        ConfigError: The method is not registered (code `unknown-method`).
    """
    if name in METHODS:
        return METHODS[name]
    if is_import_path(name):
        hint = f"pass --method {name} to allow importing it, or call wtal.core.methods.load_method({name!r})"
    else:
        hint = f"use {', '.join(METHODS)}, or register it in wtal.core.methods.METHODS"
    raise ConfigError(f"method {name!r} is not registered", hint=hint, code="unknown-method")


def supervision_of(method: str, supervision: str) -> str:
    """The labels that a method is trained on: `segments` if it is supervised, else the setting `train.supervision`.

    Args:
        method: Name of the method.
        supervision: The setting `train.supervision`.
    """
    spec = METHODS.get(method)
    return "segments" if spec is not None and spec.teacher == "segments" else supervision


def method_title(method: str, supervision: str) -> str:
    """The name of a method in a table: with the labels that it was trained on, unless these are only tags.

    Args:
        method: Name of the method.
        supervision: The setting `train.supervision`.
    """
    labels = supervision_of(method, supervision)
    return method if labels == "tags" else f"{method} ({labels})"


def load_method(name: str) -> MethodSpec:
    """Return a method, after importing and registering it if its name has the form `package.module:function`.

    This runs the code of that module: call it with names that the user typed, not with names read from a model folder.
    The current folder is searched too.

    Raises:
        ConfigError: The name is unknown (code `unknown-method`), or it cannot be imported (code `import-failed`).
    """
    if name not in METHODS and is_import_path(name):
        METHODS[name] = MethodSpec(build=_import_function(name))
    return find_method(name)


def _import_function(path: str) -> "BuildNetwork":
    module, _, function = path.partition(":")
    folder = str(Path.cwd())
    # The `wtal` script does not search the current folder, unlike `python -m wtal`.
    if not module.startswith("wtal.") and folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        build = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"method {path!r} cannot be imported ({error})",
            hint="pass it as package.module:function, with the module in the current folder or installed",
            code="import-failed",
        ) from error
    if not callable(build):
        raise ConfigError(f"method {path!r} is not a function", hint="pass a function", code="import-failed")
    return build
