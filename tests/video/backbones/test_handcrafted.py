"""The `tiny` backbone: independent of other snippets, finite and bounded, sensitive to motion more than to color."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wtal.data.synthetic.rendering import ACTIONS, Appearance, Move, Scene, Sprite, cloud_texture
from wtal.video.backbones.handcrafted import MAX_VALUE, Tiny

WINDOW = Tiny.sampling.window
APPEARANCE, MOTION, SPEED, PAN = slice(0, 75), slice(75, None), slice(75, 86), slice(94, 96)


def noise(seed: int, height: int = 64, width: int = 85, count: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, WINDOW, height, width, 3)).astype(np.uint8)


def rendered(kind: str, seed: int, drift: float = 0.0) -> np.ndarray:
    """A window of an object that moves in front of a background; the seed determines everything but the motion."""
    rng = np.random.default_rng(seed)
    first, second = rng.permutation([rng.uniform(0, 90, 3), rng.uniform(165, 255, 3)])
    appearance = Appearance(
        rng.uniform(8, 11), int(rng.integers(2, 5)), 0.5, rng.uniform(0, 6), (tuple(first), tuple(second))
    )
    home = tuple(rng.uniform((30, 36), (54, 42)).tolist())
    seconds = WINDOW / Tiny.sampling.fps
    move = Move(kind, -0.01, seconds + 0.01, home, home, 2, reach=11)
    ground, tint = tuple(rng.uniform(100, 150, 3)), tuple(rng.uniform(4, 12, 3))
    scene = Scene(seconds, ground, tint, cloud_texture(rng, 64, 85), (drift, 0.0), (Sprite(appearance, (move,)),))
    times = (np.arange(WINDOW) + 0.5) / Tiny.sampling.fps
    return np.stack([scene.render(time) for time in times]).clip(0, 255).astype(np.uint8)[None]


@pytest.mark.parametrize("height, width", [(64, 64), (64, 85), (113, 64), (40, 400), (7, 5), (1, 1)])
def test_features_do_not_depend_on_other_snippets(height, width):
    frames = noise(1, height, width, count=5)
    features = Tiny()(frames)
    assert features.shape == (5, sum(Tiny.widths)) and features.dtype == np.float32
    for i in range(5):
        assert np.array_equal(Tiny()(frames[i : i + 1]), features[i : i + 1])
    assert np.array_equal(Tiny()(frames[::2]), features[::2])


def test_features_do_not_depend_on_the_memory_layout():
    frames = noise(2)
    assert np.allclose(Tiny()(np.asfortranarray(frames)), Tiny()(frames), atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.just(1), st.just(WINDOW), st.integers(1, 40), st.integers(1, 40), st.just(3)),
        elements=st.sampled_from([0, 1, 127, 255]),
    )
)
def test_features_are_finite_and_bounded(frames):
    features = Tiny()(frames)
    assert features.shape == (1, sum(Tiny.widths))
    assert np.isfinite(features).all() and np.abs(features).max() <= MAX_VALUE


def test_fast_pan_is_clipped():
    background = 128 + 40 * cloud_texture(np.random.default_rng(9), 64, 85)
    frames = np.stack([np.roll(background, 4 * i, axis=1) for i in range(WINDOW)]).clip(0, 255).astype(np.uint8)
    assert Tiny()(np.repeat(frames[None, ..., None], 3, axis=4))[0, PAN][0] == MAX_VALUE


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_uniform_frames_differ_in_brightness_only(shade):
    uniform = np.full((1, WINDOW, 64, 85, 3), shade, np.uint8)
    features, black = Tiny()(uniform), Tiny()(np.zeros_like(uniform))
    assert np.allclose(features[:, 27:], black[:, 27:], atol=1e-4)
    assert np.allclose(features[:, :9] - black[:, :9], 4 * shade / 255, atol=1e-4)


def test_still_frames_have_no_motion():
    still = np.repeat(noise(3)[:, :1], WINDOW, axis=1)
    assert np.allclose(Tiny()(still)[:, MOTION], Tiny()(np.zeros_like(still))[:, MOTION], atol=1e-4)


@pytest.mark.parametrize("gain", [0.6, 0.8])
def test_motion_does_not_depend_on_brightness(gain):
    for kind in ACTIONS:
        bright = rendered(kind, seed=4)
        dark = (bright * gain).astype(np.uint8)
        change = np.abs(Tiny()(dark) - Tiny()(bright))[0, MOTION].mean()
        difference_to_rest = np.abs(Tiny()(rendered("rest", seed=4)) - Tiny()(bright))[0, MOTION].mean()
        assert change < 0.25 * difference_to_rest


@pytest.mark.parametrize("speed", [-15.0, 15.0])
def test_camera_motion_is_separated_from_object_motion(speed):
    still, panned, moved = (
        Tiny()(frames)[0] for frames in (rendered("rest", 5), rendered("rest", 5, drift=speed), rendered("orbit", 5))
    )
    assert np.sign(panned[PAN][0]) == np.sign(speed) and abs(panned[PAN][0]) > 3 * abs(still[PAN][0])
    assert abs(panned[PAN][1]) < 0.3 * abs(panned[PAN][0])
    corners = [75, 77, 81, 83]  # background only; including camera motion they would exceed 1.5
    assert panned[corners].max() < 0.5
    assert moved[SPEED].max() > still[SPEED].max() + 1


def test_mirrored_frames_pan_in_the_opposite_direction():
    right = Tiny()(rendered("rest", 6, drift=12.0))[0]
    left = Tiny()(rendered("rest", 6, drift=12.0)[:, :, :, ::-1])[0]
    assert np.allclose(left[PAN], right[PAN] * (-1, 1), atol=0.05)


def test_reversed_video_has_the_same_speed():
    frames = rendered("orbit", 7)
    forward, backward = Tiny()(frames)[0], Tiny()(frames[:, ::-1])[0]
    assert np.allclose(forward[SPEED], backward[SPEED], atol=0.1)


def test_motion_is_recognized_for_other_colors_and_positions():
    """The nearest class mean of other objects is the same motion in most cases; one in five would be chance."""
    kinds = list(ACTIONS)
    features = np.stack([[Tiny()(rendered(kind, seed))[0, MOTION] for seed in range(6)] for kind in kinds])
    correct = 0
    for left_out in range(6):
        means = np.delete(features, left_out, axis=1).mean(1)  # one per kind
        distances = np.linalg.norm(features[:, None, left_out] - means[None], axis=2)
        correct += int((distances.argmin(1) == np.arange(len(kinds))).sum())
    assert correct >= 24  # of 30


def test_appearance_does_not_depend_on_the_order_of_frames():
    frames = noise(8)
    start = (WINDOW - Tiny.sampling.stride) // 2
    shuffled = frames.copy()
    shuffled[:, [start, start + 2, start + 4]] = frames[:, [start + 4, start, start + 2]]
    assert np.allclose(Tiny()(shuffled)[:, APPEARANCE], Tiny()(frames)[:, APPEARANCE], atol=1e-3)
