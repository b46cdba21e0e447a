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
        local: Whether the local branch mixes neighbouring snippets (local enhancement).
        memory: `none`; `kept`, a memory of the classes; `shuffled`, whose classes change at random at every step;
            `random`, which stays as it was initialised.
        teacher: What the local branch is distilled from: nothing, the global branch if the network has
            `both_branches`, or a second dropout pass.
        branch: The branch that a comparison scores.
        trained_as: The method whose trained weights this one shares, if it is only scored differently.
        build: For a method of your own: a function `build(config, modalities, num_classes)` that returns the network.
    """

    local: bool = True
    memory: Literal["none", "kept", "shuffled", "random"] = "none"
    teacher: Literal["none", "global", "dropout"] = "none"
    branch: Literal["local", "global"] = "local"
    trained_as: str | None = None
    build: "BuildNetwork | None" = None


DEFAULT_METHOD = "dfe"

# The last five are the controls of docs/method.md. Add a method of your own here, or name it `my_module:build`.
METHODS: dict[str, MethodSpec] = {
    "baseline": MethodSpec(local=False),
    "local": MethodSpec(),
    "dfe": MethodSpec(memory="kept", teacher="global"),
    "dfe-global": MethodSpec(memory="kept", teacher="global", branch="global", trained_as="dfe"),
    "dfe-no-distillation": MethodSpec(memory="kept"),
    "self-distillation": MethodSpec(teacher="dropout"),
    "shuffled-memory": MethodSpec(memory="shuffled", teacher="global"),
    "random-memory": MethodSpec(memory="random", teacher="global"),
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


def load_method(name: str) -> MethodSpec:
    """Return a method, after importing and registering it if its name has the form `package.module:function`.

    This runs the code of that module: call it with names that the user typed, not with names read from a model folder.
    The current folder is searched too.

    Raises:
        ConfigError: The name is unknown (code `unknown-method`), or it cannot be imported (code `import-failed`).
    """
    if name not in METHODS and is_import_path(name):
        METHODS[name] = MethodSpec(teacher="global", build=_import_function(name))
    return find_method(name)


def _import_function(path: str) -> "BuildNetwork":
    module, _, function = path.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:  # the `wtal` script does not search the current folder, unlike `python -m wtal`
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
