"""The checks of `wtal doctor`. Each part is imported or run, and each failure comes with a fix."""

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
REQUIRED = ("python", "wtal", "torch", "av", "tiny")
DECODERS = {"h264": "h264", "hevc": "hevc", "vp9": "vp9", "av1": "libdav1d", "mpeg4": "mpeg4"}  # codec -> decoder
TEST_CLIP = (25, 25, 64)  # frames, frames per second and side in pixels of the clip that is rendered to test `tiny`
DRAWING_CHARACTERS = "█·…±"  # used by timelines and tables in the terminal
GIB = 1 << 30
STATE_COLORS = {"ok": "green", "missing": "yellow", "broken": "red"}
NAME_WIDTH, STATE_WIDTH = 16, 9  # characters


@dataclass(frozen=True)
class Finding:
    """The result of one check. `hint` says how to fix it; it is empty if there is nothing to fix."""

    group: str  # installed, devices, backbones, extras or environment
    name: str
    state: State
    detail: str
    hint: str = ""


class CheckFailedError(Exception):
    """Raised by a check that knows the state and the fix."""

    def __init__(self, state: State, detail: str, hint: str) -> None:
        super().__init__(detail)
        self.state, self.detail, self.hint = state, detail, hint


def is_healthy(findings: Sequence[Finding]) -> bool:
    """Whether all required parts work: Python, wtal, PyTorch, the video decoder and `tiny`."""
    return all(finding.state == "ok" for finding in findings if finding.name in REQUIRED)


def diagnose() -> tuple[Finding, ...]:
    """Run all checks, which takes a few seconds. A failure of any kind becomes a finding and is never raised."""
    encoding = sys.stdout.encoding  # read here because the checks run with stdout redirected
    checks: tuple[tuple[str, str, Callable[[], str], str], ...] = (
        ("installed", "python", _python, ""),
        ("installed", "wtal", _wtal, "pip install --force-reinstall wtal"),
        ("installed", "torch", _torch, "pip install --force-reinstall torch"),
        ("installed", "av", _av, "pip install --force-reinstall av"),
        ("devices", "CPU", _cpu, ""),
        ("devices", "memory", _memory, ""),
        (
            "devices",
            "GPU",
            _gpu,
            "update its driver, or install a PyTorch build for it; --device cpu works in any case",
        ),
        ("backbones", "tiny", _tiny, "fix the problems above; it needs torch and av only"),
        ("backbones", "i3d", _i3d, "pip install --force-reinstall wtal"),
        ("backbones", "transformers", _transformers, "pip install --force-reinstall transformers"),
        ("extras", "flow", _flow, "pip install --force-reinstall opencv-python-headless"),
        ("extras", "ray", _ray, "pip install --force-reinstall 'wtal[ray]'"),
        ("environment", "cache folder", _cache, "make it writable, or set WTAL_CACHE to another folder"),
        ("environment", "terminal", partial(_terminal, encoding), "set PYTHONIOENCODING=utf-8"),
    )
    return tuple(_run_check(*check) for check in checks)


def _run_check(group: str, name: str, check: Callable[[], str], hint: str) -> Finding:
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            return Finding(group, name, "ok", check())
    except CheckFailedError as error:
        return Finding(group, name, error.state, error.detail, error.hint)
    except WtalError as error:
        detail = f"{error.path}: {error.message}" if error.path else error.message
        return Finding(group, name, "broken", detail, error.hint or hint)
    except Exception as error:  # a broken installation can raise anything, and this command must report it
        return Finding(group, name, "broken", short_message(error), hint)


def _extra(module: str, extra: str) -> ModuleType:
    if find_spec(module) is None:
        raise CheckFailedError("missing", "not installed", f"optional; pip install 'wtal[{extra}]'")
    return import_module(module)


def _python() -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"


def _wtal() -> str:
    return f"{__version__}, {Path(__file__).parent}"


def _torch() -> str:
    import torch

    total = float((torch.ones(2, 2) @ torch.ones(2, 2)).sum())
    if total != 8:
        raise RuntimeError(f"a matrix product gives {total} instead of 8")
    from wtal.video.backbones.base import choose_precision

    precision = choose_precision(torch.device("cpu"))
    return f"{torch.__version__}, {torch.get_num_threads()} threads, {precision} is fastest on this CPU"


def _av() -> str:
    import av

    missing = [codec for codec, decoder in DECODERS.items() if decoder not in av.codecs_available]
    if missing:
        raise RuntimeError(f"{av.__version__} has no decoder for {', '.join(missing)}")
    return f"{av.__version__} with ffmpeg {av.ffmpeg_version_info}, decodes {', '.join(DECODERS)} and others"


def _cpu() -> str:
    return f"{available_cores()} of {os.cpu_count()} cores"


def _memory() -> str:
    ram = available_ram()
    if ram is None:
        return "unknown on this system; extraction needs 1.5 GiB per process"
    total, allowed = ram
    limit = f", of which this container may use {allowed / GIB:.1f}" if allowed < total else ""
    if allowed < 2 * GIB:
        raise CheckFailedError("broken", f"{allowed / GIB:.1f} GiB", "use `--workers 1` and the backbone tiny")
    return f"{total / GIB:.1f} GiB{limit}"


def _gpu() -> str:
    import torch

    if torch.version.cuda is None:
        raise CheckFailedError("missing", f"PyTorch {torch.__version__} is built for CPUs only", "")
    if not torch.cuda.is_available():
        raise CheckFailedError("missing", f"PyTorch {torch.__version__} (CUDA {torch.version.cuda}) finds no GPU", "")
    gpus = []
    for index in range(torch.cuda.device_count()):
        torch.ones(8, 8, device=f"cuda:{index}").sum().item()  # fails on a GPU that this PyTorch does not support
        properties = torch.cuda.get_device_properties(index)
        gpus.append(f"{properties.name}, {properties.total_memory / GIB:.0f} GiB")
    return "; ".join(gpus)


def _tiny() -> str:
    from wtal.video.backbones.handcrafted import Tiny
    from wtal.video.extract_video import extract_features

    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        _render(clip)
        start = time.perf_counter()
        features, _ = extract_features(clip, Tiny())
        seconds = time.perf_counter() - start
    snippets, width = features.shape
    duration = TEST_CLIP[0] / TEST_CLIP[1]
    return f"{snippets} snippets of {width} features from a clip of {duration:g} s, in {seconds:.2f} s"


def _render(path: Path) -> None:
    """Write a clip of one second: a bright square moves over a dark background."""
    import av
    import numpy as np

    frames, rate, side = TEST_CLIP
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=rate, width=side, height=side, pix_fmt="yuv420p")
        for t in range(frames):
            frame = np.zeros((side, side, 3), np.uint8)
            frame[24:40, t : t + 16] = 255
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        out.mux(stream.encode(None))


def _i3d() -> str:
    from wtal.video.backbones import i3d_weights
    from wtal.video.backbones.cache import cached_weights

    if not cached_weights().is_file():
        hint = "run `wtal weights` once (47 MB), or name a file with --weights"
        raise CheckFailedError("missing", f"no weights in {cached_weights().parent}", hint)
    _, digest = i3d_weights.load_weights(None)
    return f"weights {digest.removeprefix('sha256:')[:12]} in {cached_weights()}"


def _transformers() -> str:
    transformers = _extra("transformers", "transformers")
    from wtal.video.backbones.transformers import FAMILIES

    _torchvision()
    for family in FAMILIES.values():
        getattr(transformers, family.model_class)
    return f"transformers {transformers.__version__} with {', '.join(FAMILIES)}"


def _torchvision() -> None:
    """transformers imports torchvision if it is installed, and fails to load models if it does not match PyTorch."""
    if find_spec("torchvision") is None:
        return
    try:
        import_module("torchvision")
    except Exception as error:  # as in `_run_check`
        raise CheckFailedError(
            "broken",
            f"torchvision {metadata.version('torchvision')} does not match PyTorch: {short_message(error)}",
            "pip uninstall torchvision (wtal does not need it), or install the version for your PyTorch",
        ) from error


def _flow() -> str:
    cv2 = _extra("cv2", "flow")
    import numpy as np

    from wtal.video.backbones.optical_flow import METHOD, optical_flow

    optical_flow(np.zeros((1, 2, 16, 16, 3), np.uint8))
    return f"OpenCV {cv2.__version__}, {METHOD}"


def _ray() -> str:
    from wtal.core.ray_cluster import set_environment

    cluster = os.environ.get("RAY_ADDRESS")
    set_environment(cluster)
    ray = _extra("ray", "ray")
    import_module("ray.data")
    return f"{ray.__version__}, {f'cluster at {cluster}' if cluster else 'on this machine, as RAY_ADDRESS is not set'}"


def _cache() -> str:
    from wtal.video.backbones.cache import cached_weights

    folder = cached_weights().parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"wtal")
    return f"{folder} is writable"


def _terminal(encoding: str | None) -> str:
    try:
        DRAWING_CHARACTERS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError) as error:
        raise RuntimeError(f"the encoding {encoding} cannot show {DRAWING_CHARACTERS}") from error
    return f"{encoding}, can show timelines"


def render_findings(findings: Sequence[Finding], console: Console) -> None:
    """Print the findings without interpreting markup in them and without wrapping lines."""
    for group, members in groupby(findings, key=lambda finding: finding.group):
        console.print(Text(group, style="bold"))
        for finding in members:
            console.print(_finding_line(finding), soft_wrap=True)
    console.print(_verdict(findings), soft_wrap=True)


def _finding_line(finding: Finding) -> Text:
    state = f"{finding.state:<{STATE_WIDTH}}", STATE_COLORS[finding.state]
    line = Text.assemble(f"  {finding.name:<{NAME_WIDTH}}", state, finding.detail)
    return line.append(f"\n{'':{2 + NAME_WIDTH + STATE_WIDTH}}{finding.hint}") if finding.hint else line


def _verdict(findings: Sequence[Finding]) -> Text:
    if is_healthy(findings):
        return Text("ready: videos can be processed with the backbone tiny", style="green")
    failed = [finding.name for finding in findings if finding.name in REQUIRED and finding.state != "ok"]
    return Text(f"not ready: fix {', '.join(failed)} first", style="red")
