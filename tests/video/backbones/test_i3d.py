"""I3D: padding as in TensorFlow, the fused network equals the published one, and correct classes for real clips."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from benchmarks import extraction
from tests.helpers.errors import raises
from wtal.core.errors import DataError
from wtal.video.backbones import i3d_network
from wtal.video.backbones.base import BackboneOptions, choose_precision
from wtal.video.backbones.cache import cached_weights
from wtal.video.backbones.i3d import I3D, PIXEL_SCALE
from wtal.video.backbones.i3d_network import (
    PairedStem,
    Pool,
    SeparableMaxPool,
    Unit,
    class_logits,
    fused_trunk,
    load_trunk,
    pool_features,
    same_padding,
    weight_shapes,
)
from wtal.video.backbones.i3d_weights import load_weights
from wtal.video.backbones.optical_flow import optical_flow
from wtal.video.backbones.registry import open_backbone
from wtal.video.sampling import Snippet

CPU = torch.device("cpu")
SIDE = 48  # pixels; 224 in practice


def random_weights(channels=3, classes=None, seed=0):
    """Weights that keep the scale of activations through the network."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in weight_shapes(channels).items():
        values = torch.randn(shape, generator=generator)
        if name.endswith("conv3d.weight"):
            weights[name] = values * (2 / values[0].numel()) ** 0.5
        elif name.endswith(("running_var", "bn.weight")):
            weights[name] = 1 + 0.2 * values.tanh()
        else:
            weights[name] = 0.1 * values
    if classes:
        weights["logits.conv3d.weight"] = torch.randn(classes, 1024, 1, 1, 1, generator=generator)
        weights["logits.conv3d.bias"] = torch.randn(classes, generator=generator)
    return weights


@pytest.fixture(scope="module")
def weights():
    return random_weights(classes=5)


@pytest.fixture(scope="module")
def frames():
    """Three snippets of noise."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (3, 16, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def backbone(weights):
    return I3D(weights, "sha256:0", precision="float32")


def relative_error(a, b):
    """The largest norm of the difference of two rows, relative to the norm of the row of `b`."""
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    return float(((a - b).norm(dim=1) / b.norm(dim=1)).max())


def reference_windows(size, kernel, stride):
    """Indices of TensorFlow's SAME padding: ceil(size / stride) windows; an odd padding has one more at the end."""
    count = -(-size // stride)
    padding = max((count - 1) * stride + kernel - size, 0)
    return [[i * stride - padding // 2 + k for k in range(kernel)] for i in range(count)]


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 3))
def test_same_padding_equals_tensorflow(size, kernel, stride):
    ((start, end),) = same_padding([size], [kernel], [stride])
    expected = reference_windows(size, kernel, stride)
    assert -start == expected[0][0]
    assert max(end, 0) == max(expected[-1][-1] - (size - 1), 0)


@settings(max_examples=25)
@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.sampled_from([((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2)), ((3, 3, 3), (1, 1, 1))]),
)
def test_pools_compute_maxima_over_windows(sizes, kind):
    kernel, stride = kind
    x = torch.randn(2, 3, *sizes)
    expected = x
    for axis in range(3):
        windows = reference_windows(sizes[axis], kernel[axis], stride[axis])
        valid = [[p for p in window if 0 <= p < sizes[axis]] for window in windows]
        expected = torch.stack(
            [expected.index_select(axis + 2, torch.tensor(p)).amax(axis + 2) for p in valid], axis + 2
        )
    assert torch.equal(Pool(kernel, stride)(x), expected)
    if stride == (1, 1, 1):
        assert torch.equal(SeparableMaxPool()(x), expected)


@settings(max_examples=25)
@given(st.tuples(*[st.integers(3, 12)] * 3), st.sampled_from([(7, 2), (3, 1), (1, 1)]))
def test_units_convolve_over_windows(sizes, kind):
    kernel, stride = kind
    unit = Unit(2, 4, kernel, stride).eval()
    x = torch.randn(1, 2, *sizes)
    windows = [reference_windows(size, kernel, stride) for size in sizes]
    padded = F.pad(x, (9,) * 6)  # zeros where windows exceed the input
    for axis, positions in enumerate(windows):  # ... x windows x ... x kernel x kernel x kernel
        index = torch.tensor(positions) + 9
        padded = padded.index_select(axis + 2, index.flatten()).unflatten(axis + 2, index.shape).movedim(axis + 3, -1)
    with torch.inference_mode():
        expected = torch.einsum("ncthwijk,ocijk->nothw", padded, unit.conv3d.weight)
        assert torch.allclose(unit(x), F.relu(expected / (1 + 1e-3) ** 0.5), atol=1e-5)


@settings(max_examples=15)
@given(st.tuples(*[st.integers(2, 13)] * 3), st.integers(2, 3))
def test_paired_stem_equals_the_stem(sizes, channels):
    unit = Unit(channels, 8, 7, 2)
    unit.bn, unit.conv3d.bias = torch.nn.Identity(), torch.nn.Parameter(torch.randn(8))
    x = torch.randn(2, channels, *sizes)
    with torch.inference_mode():
        assert torch.allclose(PairedStem(unit.conv3d)(x), unit(x), atol=1e-4)


def test_network_has_the_published_size():
    """230 arrays with 12,704,544 numbers, with the classifier of 400 classes and without the scale of batch norm."""
    sizes = {
        name: torch.Size(shape).numel() for name, shape in weight_shapes(3).items() if not name.endswith("bn.weight")
    }
    assert len(sizes) + 2 == 230
    assert sum(sizes.values()) + 400 * 1024 + 400 == 12_704_544


@pytest.mark.parametrize("frames, side, times", [(16, 7, 2), (64, 7, 8), (9, 2, 2)])
def test_network_reduces_time_by_8_and_space_by_32(frames, side, times):
    with torch.device("meta"):
        output = i3d_network.Trunk(3)(torch.empty(2, 3, frames, 32 * side, 32 * side))
    assert output.shape == (2, 1024, times, side, side)


def test_fused_network_equals_the_published_network(weights, frames, backbone):
    x = torch.from_numpy(frames).permute(0, 4, 1, 2, 3) / PIXEL_SCALE - 1
    with torch.inference_mode():
        expected = pool_features(load_trunk(weights)(x))
    features = backbone(frames)
    assert features.shape == (3, 1024) and features.dtype == np.float32
    assert relative_error(features, expected) < 1e-4


def test_fusing_does_not_change_the_given_weights(weights):
    copies = {name: value.clone() for name, value in weights.items()}
    fused_trunk(weights, torch.float32, CPU, PIXEL_SCALE)
    assert all(torch.equal(value, copies[name]) for name, value in weights.items())


def test_bfloat16_features_are_close_to_float32(weights, frames, backbone):
    bfloat16 = I3D(weights, "", precision="bfloat16")
    assert bfloat16.precision == "bfloat16"
    assert 0 < relative_error(bfloat16(frames), backbone(frames)) < 0.03


@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-5), ("bfloat16", 1e-3)])
def test_features_do_not_depend_on_other_snippets(weights, frames, precision, tolerance):
    backbone = I3D(weights, "", precision=precision)
    batched = backbone(frames)
    single = np.concatenate([backbone(frames[i : i + 1]) for i in range(3)])
    with_other_neighbors = backbone(np.concatenate([frames[:1], 255 - frames[1:]]))
    assert relative_error(single, batched) < tolerance
    assert relative_error(with_other_neighbors[:1], batched[:1]) < tolerance
    assert relative_error(with_other_neighbors[1:], batched[1:]) > 0.01


def test_pooling_equals_the_published_average():
    """Averages of 2 x 7 x 7 positions, then over time, so that the inner times count twice."""
    x = torch.randn(2, 1024, 4, 7, 7)
    expected = F.avg_pool3d(x, (2, 7, 7), 1).mean((2, 3, 4))
    assert torch.allclose(pool_features(x), expected, atol=1e-6)
    assert pool_features(x[:, :, :1]).shape == (2, 1024)


def test_classifier_can_follow_the_mean_over_time(weights):
    x = torch.randn(2, 1024, 4, 7, 7)
    pooled = F.avg_pool3d(x, (2, 7, 7), 1)
    logits = F.conv3d(pooled, weights["logits.conv3d.weight"], weights["logits.conv3d.bias"])
    assert torch.allclose(class_logits(pool_features(x), weights), logits.mean((2, 3, 4)), atol=1e-5)


@pytest.fixture
def files(weights, tmp_path):
    """A folder with RGB and flow weights."""
    save_file(weights, tmp_path / "rgb.safetensors")
    save_file(random_weights(2, seed=1), tmp_path / "flow.safetensors")
    return tmp_path


def open_i3d(rgb, flow=None):
    return open_backbone(BackboneOptions("i3d", rgb, flow, "cpu", "float32"))


def test_weights_are_read_from_a_file(files, frames, backbone):
    i3d = open_i3d(files / "rgb.safetensors")
    assert (i3d.name, i3d.flow, i3d.widths, i3d.precision) == ("i3d", "", (1024,), "float32")
    assert i3d.weights == load_weights(files / "rgb.safetensors")[1]
    assert np.array_equal(i3d(frames), backbone(frames))


def test_flow_features_follow_rgb_features(files, frames, backbone):
    pytest.importorskip("cv2")
    rgb, flow = files / "rgb.safetensors", files / "flow.safetensors"
    i3d = open_i3d(rgb, flow)
    features = i3d(frames)
    flow_weights, flow_hash = load_weights(flow, "flow")
    assert i3d.widths == (1024, 1024) and features.shape == (3, 2048) and i3d.flow
    assert i3d.weights.startswith("sha256:") and i3d.weights not in (load_weights(rgb)[1], flow_hash)
    assert np.array_equal(features[:, :1024], backbone(frames))
    x = torch.from_numpy(optical_flow(frames)).permute(0, 4, 1, 2, 3)
    with torch.inference_mode():
        assert relative_error(features[:, 1024:], pool_features(load_trunk(flow_weights)(x))) < 1e-4


def test_missing_weights_are_reported(monkeypatch, tmp_path):
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path))
    with raises(DataError, code="weights-not-found"):
        open_i3d(None)


@pytest.mark.parametrize(
    "capabilities, has_onednn, expected",
    [
        ({"avx512_bf16": True}, True, "bfloat16"),
        ({"amx_bf16": True}, True, "bfloat16"),
        ({"avx512_bf16": True}, False, "float32"),
        ({"avx512_bf16": False, "avx2": True}, True, "float32"),
        ({"bf16": True}, True, "float32"),  # ARM: unmeasured
    ],
)
def test_bfloat16_is_chosen_where_the_cpu_multiplies_it(monkeypatch, capabilities, has_onednn, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: has_onednn)
    assert choose_precision(CPU) == expected
    assert choose_precision(CPU, "float32") == "float32"


@pytest.mark.parametrize("length, starts", [(5, [0]), (32, [0]), (33, [0, 1]), (40, [0, 8]), (51, [0, 8, 16, 19])])
def test_classified_windows_are_inside_the_video(monkeypatch, length, starts):
    """In a video whose frame k has the value k, cut into parts of 8 frames; the last one repeats its last frame."""

    def read(video, sampling):
        assert sampling.stride == sampling.window == 8
        for start in range(0, length, 8):
            values = np.minimum(np.arange(start, start + 8), length - 1).astype(np.uint8)
            yield Snippet(start / 25, min(start + 8, length) / 25, values[:, None, None, None])

    monkeypatch.setattr(extraction, "read_snippets", read)
    windows = [window.ravel().tolist() for window in extraction.windows(Path("v.mp4"))]
    assert windows == [list(range(start, min(start + 32, length))) for start in starts]


@pytest.mark.parametrize(
    "clip, label",
    [
        ("v_CricketShot_g04_c01_rgb.gif", "playing cricket"),
        ("hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi", "cartwheeling"),
    ],
)
def test_real_clips_are_classified(shared, clip, label):
    """The two shortest clips; `python -m benchmarks extraction` classifies the others."""
    clips = shared("videos", "clips")
    if not cached_weights().is_file():
        pytest.skip("I3D's published weights are not in the cache; run `wtal weights`")
    probabilities = extraction.class_probabilities(clips / clip, load_weights(None)[0])
    assert (clips / "label_map.txt").read_text().splitlines()[probabilities.argmax()] == label
    assert probabilities.max() > 0.85
