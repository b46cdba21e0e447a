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
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Literal

from rich.console import Console
from rich.text import Text

from wtal import __version__
from wtal.core.errors import WtalError, short_message
from wtal.core.hardware import available_cores, available_ram

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
        return Finding(group, what, "broken", short_message(error), mend)


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
    from wtal.video.backbones.i3d import choose_precision

    precision = choose_precision(torch.device("cpu"))
    return f"{torch.__version__}, {torch.get_num_threads()} threads, {precision} is fastest on this CPU"


def _av() -> str:
    import av

    lacking = [codec for codec, decoder in DECODERS.items() if decoder not in av.codecs_available]
    if lacking:
        raise RuntimeError(f"{av.__version__} lacks the decoder of {', '.join(lacking)}")
    return f"{av.__version__} with ffmpeg {av.ffmpeg_version_info}, decodes {', '.join(DECODERS)} and others"


def _cpu() -> str:
    return f"{available_cores()} of {os.cpu_count()} cores"


def _memory() -> str:
    known = available_ram()
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
    from wtal.video.backbones.handcrafted import Tiny
    from wtal.video.extract_video import extract_features

    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        _render(clip)
        began = time.perf_counter()
        features, _ = extract_features(clip, Tiny())
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
    from wtal.video.backbones import i3d_weights

    if not i3d_weights.cached().is_file():
        mend = "run `wtal weights` once (47 MB), or name a file with --weights"
        raise TroubleError("missing", f"its weights are not in {i3d_weights.cached().parent}", mend)
    _, found = i3d_weights.load(None)
    return f"weights {found.removeprefix('sha256:')[:12]} in {i3d_weights.cached()}"


def _transformers() -> str:
    transformers = _extra("transformers", "transformers")
    from wtal.video.backbones.transformers import FAMILIES

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
            f"torchvision {metadata.version('torchvision')} does not fit PyTorch: {short_message(error)}",
            "pip uninstall torchvision, which nothing here needs, or install the one that belongs to your PyTorch",
        ) from error


def _flow() -> str:
    cv2 = _extra("cv2", "opencv-python-headless")
    import numpy as np

    from wtal.video.backbones.optical_flow import FLOW, optical_flow

    optical_flow(np.zeros((1, 2, 16, 16, 3), np.uint8))
    return f"OpenCV {cv2.__version__}, {FLOW}"


def _ray() -> str:
    from wtal.core.ray_cluster import require_ray

    cluster = os.environ.get("RAY_ADDRESS")
    require_ray(cluster)
    ray = _extra("ray", "ray[data]")
    import_module("ray.data")
    return f"{ray.__version__}, {f'cluster at {cluster}' if cluster else 'on this machine, RAY_ADDRESS is not set'}"


def _cache() -> str:
    from wtal.video.backbones import i3d_weights

    folder = i3d_weights.cached().parent
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


COLOURS = {"ok": "green", "missing": "yellow", "broken": "red"}


WHAT, STATE = 16, 9  # columns


def render_findings(findings: Sequence[Finding], console: Console) -> None:
    """Print the findings. What other programs say is never taken for markup, and no line is wrapped."""
    for group, found in groupby(findings, key=lambda finding: finding.group):
        console.print(Text(group, style="bold"))
        for finding in found:
            console.print(_finding_line(finding), soft_wrap=True)
    console.print(_findings_verdict(findings), soft_wrap=True)


def _finding_line(finding: Finding) -> Text:
    state = f"{finding.state:<{STATE}}", COLOURS[finding.state]
    line = Text.assemble(f"  {finding.what:<{WHAT}}", state, finding.detail)
    return line.append(f"\n{'':{2 + WHAT + STATE}}{finding.mend}") if finding.mend else line


def _findings_verdict(findings: Sequence[Finding]) -> Text:
    if healthy(findings):
        return Text("healthy: from videos to timelines works with the backbone tiny", style="green")
    ill = [finding.what for finding in findings if finding.what in NECESSARY and finding.state != "ok"]
    return Text(f"not healthy: {', '.join(ill)} must work before anything else does", style="red")
