"""What `wtal doctor` looks at: each part is really imported or run, and what does not work says how to mend it."""

import io
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Literal

from wtal import __version__
from wtal.errors import WtalError, first_line
from wtal.machine import cores, memory

State = Literal["ok", "missing", "broken"]
NECESSARY = ("python", "wtal", "torch", "av", "tiny")
DECODERS = {"h264": "h264", "hevc": "hevc", "vp9": "vp9", "av1": "libdav1d", "mpeg4": "mpeg4"}  # codec -> decoder
TRIAL = (25, 25, 64)  # pictures, pictures a second and pixels a side of the clip that is rendered for a trial
SHOWN = "█·…±"  # what timelines and tables are drawn with
GIB = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `mend` says in a sentence what to do, "" where nothing needs to be done."""

    group: str  # installed, devices, backbones, extras or surroundings
    what: str
    state: State
    detail: str
    mend: str = ""


class TroubleError(Exception):
    """What a check finds wrong, where it knows better than the exception that it met."""

    def __init__(self, state: State, detail: str, mend: str) -> None:
        super().__init__(detail)
        self.state, self.detail, self.mend = state, detail, mend


def healthy(findings: Sequence[Finding]) -> bool:
    """Whether all that every user needs works: Python, wtal, PyTorch, the video decoder and `tiny`."""
    return all(finding.state == "ok" for finding in findings if finding.what in NECESSARY)


def diagnose() -> tuple[Finding, ...]:
    """Look at everything, which takes some seconds. Whatever fails, and however, is a finding and never raised."""
    encoding = sys.stdout.encoding  # before the checks are made silent
    checks: tuple[tuple[str, str, Callable[[], str], str], ...] = (
        ("installed", "python", _python, ""),
        ("installed", "wtal", _wtal, "pip install --force-reinstall wtal"),
        ("installed", "torch", _torch, "pip install --force-reinstall torch"),
        ("installed", "av", _av, "pip install --force-reinstall av"),
        ("devices", "CPU", _cpu, ""),
        ("devices", "memory", _memory, ""),
        ("devices", "GPU", _gpu, "update its driver, or install a PyTorch for it; --device cpu works meanwhile"),
        ("backbones", "tiny", _tiny, "mend what is named above; it needs nothing but torch and av"),
        ("backbones", "i3d", _i3d, "pip install --force-reinstall wtal"),
        ("backbones", "transformers", _transformers, "pip install --force-reinstall transformers"),
        ("extras", "flow", _flow, "pip install --force-reinstall opencv-python-headless"),
        ("extras", "ray", _ray, "pip install --force-reinstall 'ray[data]'"),
        ("surroundings", "cache folder", _cache, "make it writable, or name another in WTAL_CACHE"),
        ("surroundings", "terminal", partial(_terminal, encoding), "set PYTHONIOENCODING=utf-8"),
    )
    return tuple(_look(*check) for check in checks)


def _look(group: str, what: str, check: Callable[[], str], mend: str) -> Finding:
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            return Finding(group, what, "ok", check())
    except TroubleError as trouble:
        return Finding(group, what, trouble.state, trouble.detail, trouble.mend)
    except WtalError as error:
        detail, _, own = str(error).partition("; ")
        return Finding(group, what, "broken", detail, own or mend)
    except Exception as error:  # a broken install fails in every way that there is; to say so is what we are for
        return Finding(group, what, "broken", first_line(error), mend)


def _extra(module: str, package: str) -> ModuleType:
    if find_spec(module) is None:
        raise TroubleError("missing", "not installed", f"pip install '{package}', if you want it")
    return import_module(module)


def _python() -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"


def _wtal() -> str:
    return f"{__version__}, {Path(__file__).parent}"


def _torch() -> str:
    import torch

    found = float((torch.ones(2, 2) @ torch.ones(2, 2)).sum())
    if found != 8:
        raise RuntimeError(f"computes {found} where 8 is right")
    from wtal.extract.i3d import choose_precision

    precision = choose_precision(torch.device("cpu"))
    return f"{torch.__version__}, {torch.get_num_threads()} threads, {precision} is fastest on this CPU"


def _av() -> str:
    import av

    lacking = [codec for codec, decoder in DECODERS.items() if decoder not in av.codecs_available]
    if lacking:
        raise RuntimeError(f"{av.__version__} lacks the decoder of {', '.join(lacking)}")
    return f"{av.__version__} with ffmpeg {av.ffmpeg_version_info}, decodes {', '.join(DECODERS)} and others"


def _cpu() -> str:
    return f"{cores()} of {os.cpu_count()} cores"


def _memory() -> str:
    known = memory()
    if known is None:
        return "not known on this system; extraction needs 1.5 GiB a process"
    total, allowed = known
    limit = f", of which the container may use {allowed / GIB:.1f}" if allowed < total else ""
    if allowed < 2 * GIB:
        raise TroubleError("broken", f"{allowed / GIB:.1f} GiB", "use `--workers 1` and the backbone tiny")
    return f"{total / GIB:.1f} GiB{limit}"


def _gpu() -> str:
    import torch

    if torch.version.cuda is None:
        raise TroubleError("missing", f"PyTorch {torch.__version__} is built for CPUs alone", "")
    if not torch.cuda.is_available():
        raise TroubleError("missing", f"PyTorch {torch.__version__} (CUDA {torch.version.cuda}) finds none", "")
    found = []
    for place in range(torch.cuda.device_count()):
        torch.ones(8, 8, device=f"cuda:{place}").sum().item()  # a GPU too old for this PyTorch fails here
        about = torch.cuda.get_device_properties(place)
        found.append(f"{about.name}, {about.total_memory / GIB:.0f} GiB")
    return "; ".join(found)


def _tiny() -> str:
    from wtal.extract.one import features_of
    from wtal.extract.tiny import Tiny

    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        _render(clip)
        began = time.perf_counter()
        features, _ = features_of(clip, Tiny())
        took = time.perf_counter() - began
    snippets, width = features.shape
    return f"{snippets} snippets of {width} numbers from a clip of {TRIAL[0] / TRIAL[1]:g} s, in {took:.2f} s"


def _render(path: Path) -> None:
    """A second of a bright square that crosses a dark picture."""
    import av
    import numpy as np

    pictures, rate, side = TRIAL
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=rate, width=side, height=side, pix_fmt="yuv420p")
        for t in range(pictures):
            picture = np.zeros((side, side, 3), np.uint8)
            picture[24:40, t : t + 16] = 255
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        out.mux(stream.encode(None))


def _i3d() -> str:
    from wtal.extract import weights

    if not weights.cached().is_file():
        mend = "run `wtal weights` once (47 MB), or name a file with --weights"
        raise TroubleError("missing", f"its weights are not in {weights.cached().parent}", mend)
    _, found = weights.load(None)
    return f"weights {found.removeprefix('sha256:')[:12]} in {weights.cached()}"


def _transformers() -> str:
    transformers = _extra("transformers", "transformers")
    from wtal.extract.transformer import FAMILIES

    _torchvision()
    for family in FAMILIES.values():
        getattr(transformers, family.model)
    return f"transformers {transformers.__version__} with {', '.join(FAMILIES)}"


def _torchvision() -> None:
    """transformers imports it where it is installed, and cannot load a model where it does not fit PyTorch."""
    if find_spec("torchvision") is None:
        return
    try:
        import_module("torchvision")
    except Exception as error:  # as in `_look`
        raise TroubleError(
            "broken",
            f"torchvision {metadata.version('torchvision')} does not fit PyTorch: {first_line(error)}",
            "pip uninstall torchvision, which nothing here needs, or install the one that belongs to your PyTorch",
        ) from error


def _flow() -> str:
    cv2 = _extra("cv2", "opencv-python-headless")
    import numpy as np

    from wtal.extract.flow import FLOW, optical_flow

    optical_flow(np.zeros((1, 2, 16, 16, 3), np.uint8))
    return f"OpenCV {cv2.__version__}, {FLOW}"


def _ray() -> str:
    from wtal.cluster import set_up

    cluster = os.environ.get("RAY_ADDRESS")
    set_up(cluster)
    ray = _extra("ray", "ray[data]")
    import_module("ray.data")
    return f"{ray.__version__}, {f'cluster at {cluster}' if cluster else 'on this machine, RAY_ADDRESS is not set'}"


def _cache() -> str:
    from wtal.extract import weights

    folder = weights.cached().parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"wtal")
    return f"{folder} can be written"


def _terminal(encoding: str | None) -> str:
    try:
        SHOWN.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError) as error:
        raise RuntimeError(f"its encoding {encoding} cannot show {SHOWN}") from error
    return f"{encoding}, timelines can be drawn"
