"""I3D: padded as TensorFlow pads, fast as plain, each snippet by itself, and right on real clips."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from wtal.core.errors import DataError
from wtal.video.backbones import i3d, i3d_network
from wtal.video.backbones.i3d import I3D, PIXEL_SCALE, choose_precision, class_probabilities, open_i3d
from wtal.video.backbones.i3d_network import (
    Around,
    PairedStem,
    Pool,
    Unit,
    fast,
    logits,
    plain,
    pooled,
    same_padding,
    shapes,
)
from wtal.video.backbones.i3d_weights import cached, load
from wtal.video.backbones.optical_flow import optical_flow
from wtal.video.sampling import Snippet

CPU = torch.device("cpu")
SIDE = 48  # pixels; 224 in use


def random_weights(channels=3, classes=None, seed=0):
    """Weights that neither fade nor blow up on the way through the network."""
    draw = torch.Generator().manual_seed(seed)
    made = {}
    for name, shape in shapes(channels).items():
        values = torch.randn(shape, generator=draw)
        if name.endswith("conv3d.weight"):
            made[name] = values * (2 / values[0].numel()) ** 0.5
        elif name.endswith(("running_var", "bn.weight")):
            made[name] = 1 + 0.2 * values.tanh()
        else:
            made[name] = 0.1 * values
    if classes:
        made["logits.conv3d.weight"] = torch.randn(classes, 1024, 1, 1, 1, generator=draw)
        made["logits.conv3d.bias"] = torch.randn(classes, generator=draw)
    return made


@pytest.fixture(scope="module")
def made():
    return random_weights(classes=5)


@pytest.fixture(scope="module")
def pictures():
    """Three snippets of moving noise."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (3, 16, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def backbone(made):
    return I3D(made, "sha256:0", precision="float32")


def apart(a, b):
    """The length of the difference, relative to the length of `b`; of the worst row."""
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    return float(((a - b).norm(dim=1) / b.norm(dim=1)).max())


def reference_windows(size, kernel, stride):
    """TensorFlow on SAME: ceil(size / stride) windows; what they lack is split, the odd one at the end."""
    count = -(-size // stride)
    lacking = max((count - 1) * stride + kernel - size, 0)
    return [[i * stride - lacking // 2 + k for k in range(kernel)] for i in range(count)]


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 3))
def test_same_padding_is_tensorflows(size, kernel, stride):
    ((before, after),) = same_padding([size], [kernel], [stride])
    expected = reference_windows(size, kernel, stride)
    assert -before == expected[0][0]
    assert max(after, 0) == max(expected[-1][-1] - (size - 1), 0)


@settings(max_examples=25)
@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.sampled_from([((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2)), ((3, 3, 3), (1, 1, 1))]),
)
def test_pools_are_maxima_of_what_the_windows_see(sizes, kind):
    kernel, stride = kind
    x = torch.randn(2, 3, *sizes)
    expected = x
    for axis in range(3):
        windows = reference_windows(sizes[axis], kernel[axis], stride[axis])
        seen = [[p for p in window if 0 <= p < sizes[axis]] for window in windows]
        expected = torch.stack(
            [expected.index_select(axis + 2, torch.tensor(p)).amax(axis + 2) for p in seen], axis + 2
        )
    assert torch.equal(Pool(kernel, stride)(x), expected)
    if stride == (1, 1, 1):
        assert torch.equal(Around()(x), expected)


@settings(max_examples=25)
@given(st.tuples(*[st.integers(3, 12)] * 3), st.sampled_from([(7, 2), (3, 1), (1, 1)]))
def test_units_see_what_the_windows_see(sizes, kind):
    kernel, stride = kind
    unit = Unit(2, 4, kernel, stride).eval()
    x = torch.randn(1, 2, *sizes)
    windows = [reference_windows(size, kernel, stride) for size in sizes]
    padded = F.pad(x, (9,) * 6)  # zeros wherever a window may reach
    for axis, places in enumerate(windows):  # ... x windows x ... x kernel x kernel x kernel
        index = torch.tensor(places) + 9
        padded = padded.index_select(axis + 2, index.flatten()).unflatten(axis + 2, index.shape).movedim(axis + 3, -1)
    with torch.inference_mode():
        expected = torch.einsum("ncthwijk,ocijk->nothw", padded, unit.conv3d.weight)
        assert torch.allclose(unit(x), F.relu(expected / (1 + 1e-3) ** 0.5), atol=1e-5)


@settings(max_examples=15)
@given(st.tuples(*[st.integers(2, 13)] * 3), st.integers(2, 3))
def test_the_paired_stem_is_the_stem(sizes, channels):
    unit = Unit(channels, 8, 7, 2)
    unit.bn, unit.conv3d.bias = torch.nn.Identity(), torch.nn.Parameter(torch.randn(8))
    x = torch.randn(2, channels, *sizes)
    with torch.inference_mode():
        assert torch.allclose(PairedStem(unit.conv3d)(x), unit(x), atol=1e-4)


def test_the_network_has_the_published_size():
    """12,704,544 numbers with the classifier of 400 and without batch norm's scale, 230 arrays."""
    counted = {name: torch.Size(shape).numel() for name, shape in shapes(3).items() if not name.endswith("bn.weight")}
    assert len(counted) + 2 == 230
    assert sum(counted.values()) + 400 * 1024 + 400 == 12_704_544


@pytest.mark.parametrize("pictures_at_once, places, times", [(16, 7, 2), (64, 7, 8), (9, 2, 2)])
def test_shapes(pictures_at_once, places, times):
    with torch.device("meta"):
        out = i3d_network.Trunk(3)(torch.empty(2, 3, pictures_at_once, 32 * places, 32 * places))
    assert out.shape == (2, 1024, times, places, places)


def test_the_fast_form_is_the_plain_one(made, pictures, backbone):
    x = torch.from_numpy(pictures).permute(0, 4, 1, 2, 3) / PIXEL_SCALE - 1
    with torch.inference_mode():
        expected = pooled(plain(made)(x))
    found = backbone(pictures)
    assert found.shape == (3, 1024) and found.dtype == np.float32
    assert apart(found, expected) < 1e-4


def test_the_weights_that_it_was_given_stay_as_they_are(made):
    before = {name: value.clone() for name, value in made.items()}
    fast(made, torch.float32, CPU, PIXEL_SCALE)
    assert all(torch.equal(value, before[name]) for name, value in made.items())


def test_bfloat16_is_close(made, pictures, backbone):
    found = I3D(made, "", precision="bfloat16")
    assert found.precision == "bfloat16"
    assert 0 < apart(found(pictures), backbone(pictures)) < 0.03


@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-5), ("bfloat16", 1e-3)])
def test_a_snippet_depends_on_its_own_pictures(made, pictures, precision, tolerance):
    backbone = I3D(made, "", precision=precision)
    together = backbone(pictures)
    alone = np.concatenate([backbone(pictures[i : i + 1]) for i in range(3)])
    others = backbone(np.concatenate([pictures[:1], 255 - pictures[1:]]))
    assert apart(alone, together) < tolerance
    assert apart(others[:1], together[:1]) < tolerance
    assert apart(others[1:], together[1:]) > 0.01


def test_features_are_the_published_average():
    """2 x 7 x 7 places averaged, then time: the inner times count twice."""
    x = torch.randn(2, 1024, 4, 7, 7)
    expected = F.avg_pool3d(x, (2, 7, 7), 1).mean((2, 3, 4))
    assert torch.allclose(pooled(x), expected, atol=1e-6)
    assert pooled(x[:, :, :1]).shape == (2, 1024)


def test_the_classifier_may_follow_the_mean_over_time(made):
    x = torch.randn(2, 1024, 4, 7, 7)
    each = F.conv3d(F.avg_pool3d(x, (2, 7, 7), 1), made["logits.conv3d.weight"], made["logits.conv3d.bias"])
    assert torch.allclose(logits(pooled(x), made), each.mean((2, 3, 4)), atol=1e-5)


@pytest.fixture
def files(made, tmp_path):
    """RGB and flow weights as files."""
    save_file(made, tmp_path / "rgb.safetensors")
    save_file(random_weights(2, seed=1), tmp_path / "flow.safetensors")
    return tmp_path


def test_it_opens_from_a_file(files, pictures, backbone):
    opened = open_i3d(files / "rgb.safetensors", None, CPU, "float32")
    assert (opened.name, opened.flow, opened.widths, opened.precision) == ("i3d", "", (1024,), "float32")
    assert opened.weights == load(files / "rgb.safetensors")[1]
    assert np.array_equal(opened(pictures), backbone(pictures))


def test_flow_stands_beside_colours(files, pictures, backbone):
    pytest.importorskip("cv2")
    rgb, flow = files / "rgb.safetensors", files / "flow.safetensors"
    both = open_i3d(rgb, flow, CPU, "float32")
    features = both(pictures)
    assert both.widths == (1024, 1024) and features.shape == (3, 2048) and both.flow
    assert both.weights.startswith("sha256:") and both.weights not in (load(rgb)[1], load(flow, "flow")[1])
    assert np.array_equal(features[:, :1024], backbone(pictures))
    seen = torch.from_numpy(optical_flow(pictures)).permute(0, 4, 1, 2, 3)
    with torch.inference_mode():
        assert apart(features[:, 1024:], pooled(plain(load(flow, "flow")[0])(seen))) < 1e-4


def test_without_weights_it_says_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="run `wtal weights` once"):
        open_i3d(None, None, CPU)


@pytest.mark.parametrize(
    "can, there, expected",
    [
        ({"avx512_bf16": True}, True, "bfloat16"),
        ({"amx_bf16": True}, True, "bfloat16"),
        ({"avx512_bf16": True}, False, "float32"),
        ({"avx512_bf16": False, "avx2": True}, True, "float32"),
        ({"bf16": True}, True, "float32"),  # ARM: unmeasured
    ],
)
def test_bfloat16_is_taken_where_the_cpu_multiplies_it(monkeypatch, can, there, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: there)
    assert choose_precision(CPU) == expected


@pytest.mark.parametrize("length, starts", [(5, [0]), (32, [0]), (33, [0, 1]), (40, [0, 8]), (51, [0, 8, 16, 19])])
def test_windows_are_inside_the_video(monkeypatch, length, starts):
    """A video whose picture k is k everywhere, in parts of 8 of which the last repeats its last picture."""

    def read(video, sampling):
        assert sampling.stride == sampling.window == 8
        for start in range(0, length, 8):
            held = np.minimum(np.arange(start, start + 8), length - 1).astype(np.uint8)
            yield Snippet(start / 25, min(start + 8, length) / 25, held[:, None, None, None])

    monkeypatch.setattr(i3d, "read_snippets", read)
    found = [window.ravel().tolist() for window in i3d._windows(Path("v.mp4"))]
    assert found == [list(range(start, min(start + 32, length))) for start in starts]


def test_weights_without_a_classifier_name_nothing():
    with pytest.raises(DataError, match="no classifier"):
        class_probabilities(Path("v.mp4"), random_weights())


@pytest.mark.parametrize(
    "clip, shown",
    [
        ("v_CricketShot_g04_c01_rgb.gif", "playing cricket"),
        ("hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi", "cartwheeling"),
    ],
)
def test_real_clips_are_named(shared, clip, shown):
    """The two shortest clips; `python -m benchmarks extraction` does the others."""
    clips = shared("videos", "clips")
    if not cached().is_file():
        pytest.skip("I3D's published weights are not in the cache; run `wtal weights`")
    found = class_probabilities(clips / clip, load(None)[0])
    assert (clips / "label_map.txt").read_text().splitlines()[found.argmax()] == shown
    assert found.max() > 0.85
