"""`tiny`: each snippet by itself, always finite and bounded, and a description of motion rather than of colour."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wtal.data.synthetic.rendering import ACTIONS, Look, Move, Scene, Thing, clouds
from wtal.video.backbones.handcrafted import MAX_VALUE, Tiny
from wtal.video.backbones.registry import BackboneOptions, open_backbone

WINDOW = Tiny.sampling.window
APPEARANCE, SPEED, PAN = slice(0, 75), slice(75, 86), slice(94, 96)


def noise(seed: int, height: int = 64, width: int = 85, count: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, WINDOW, height, width, 3)).astype(np.uint8)


def filmed(kind: str, seed: int, drift: float = 0.0) -> np.ndarray:
    """A window of one thing that moves before a background; everything but the motion is drawn from the seed."""
    rng = np.random.default_rng(seed)
    first, second = rng.permutation([rng.uniform(0, 90, 3), rng.uniform(165, 255, 3)])
    look = Look(rng.uniform(8, 11), int(rng.integers(2, 5)), 0.5, rng.uniform(0, 6), (tuple(first), tuple(second)))
    home = tuple(rng.uniform((30, 36), (54, 42)).tolist())
    seconds = WINDOW / Tiny.sampling.fps
    move = Move(kind, -0.01, seconds + 0.01, home, home, 2, reach=11)
    ground, tint = tuple(rng.uniform(100, 150, 3)), tuple(rng.uniform(4, 12, 3))
    scene = Scene(seconds, ground, tint, clouds(rng, 64, 85), (drift, 0.0), (Thing(look, (move,)),))
    times = (np.arange(WINDOW) + 0.5) / Tiny.sampling.fps
    return np.stack([scene.picture(time) for time in times]).clip(0, 255).astype(np.uint8)[None]


def test_it_is_a_backbone():
    opened = open_backbone(BackboneOptions("tiny"))
    assert opened.provenance.backbone == "tiny" and opened.provenance.weights.startswith("formula ")
    found = opened(noise(0, count=2))
    assert found.shape == (2, sum(opened.widths)) and found.dtype == np.float32


@pytest.mark.parametrize("height, width", [(64, 64), (64, 85), (113, 64), (40, 400), (7, 5), (1, 1)])
def test_each_snippet_by_itself(height, width):
    pictures = noise(1, height, width, count=5)
    together = Tiny()(pictures)
    for i in range(5):
        assert np.array_equal(Tiny()(pictures[i : i + 1]), together[i : i + 1])
    assert np.array_equal(Tiny()(pictures[::2]), together[::2])


def test_memory_layout_is_no_matter():
    pictures = noise(2)
    turned = np.asfortranarray(pictures)
    assert np.allclose(Tiny()(turned), Tiny()(pictures), atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.just(1), st.just(WINDOW), st.integers(1, 40), st.integers(1, 40), st.just(3)),
        elements=st.sampled_from([0, 1, 127, 255]),
    )
)
def test_any_pictures_give_finite_bounded_numbers(pictures):
    found = Tiny()(pictures)
    assert found.shape == (1, sum(Tiny.widths))
    assert np.isfinite(found).all() and np.abs(found).max() <= MAX_VALUE


def test_a_quick_pan_is_bounded():
    wide = 128 + 40 * clouds(np.random.default_rng(9), 64, 85)
    pictures = np.stack([np.roll(wide, 4 * i, axis=1) for i in range(WINDOW)]).clip(0, 255).astype(np.uint8)
    assert Tiny()(np.repeat(pictures[None, ..., None], 3, axis=4))[0, PAN][0] == MAX_VALUE


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_blank_pictures_differ_in_brightness_alone(shade):
    blank = np.full((1, WINDOW, 64, 85, 3), shade, np.uint8)
    found, black = Tiny()(blank), Tiny()(np.zeros_like(blank))
    assert np.allclose(found[:, 27:], black[:, 27:], atol=1e-4)
    assert np.allclose(found[:, :9] - black[:, :9], 4 * shade / 255, atol=1e-4)


def test_still_pictures_show_no_motion():
    still = np.repeat(noise(3)[:, :1], WINDOW, axis=1)
    blank = np.zeros_like(still)
    assert np.allclose(Tiny()(still)[:, 75:], Tiny()(blank)[:, 75:], atol=1e-4)


@pytest.mark.parametrize("gain", [0.6, 0.8])
def test_a_darker_film_moves_alike(gain):
    for kind in ACTIONS:
        light = filmed(kind, seed=4)
        dark = (light * gain).astype(np.uint8)
        change = np.abs(Tiny()(dark) - Tiny()(light))[0, 75:].mean()
        other = np.abs(Tiny()(filmed("rest", seed=4)) - Tiny()(light))[0, 75:].mean()
        assert change < 0.25 * other


@pytest.mark.parametrize("speed", [-15.0, 15.0])
def test_the_camera_is_told_from_what_moves_of_itself(speed):
    still, panned, moved = (
        Tiny()(pictures)[0] for pictures in (filmed("rest", 5), filmed("rest", 5, drift=speed), filmed("orbit", 5))
    )
    assert np.sign(panned[PAN][0]) == np.sign(speed) and abs(panned[PAN][0]) > 3 * abs(still[PAN][0])
    assert abs(panned[PAN][1]) < 0.3 * abs(panned[PAN][0])
    corners = [75, 77, 81, 83]  # nothing but background there; with the camera's motion they would be above 1.5
    assert panned[corners].max() < 0.5
    assert moved[SPEED].max() > still[SPEED].max() + 1


def test_mirrored_pictures_pan_the_other_way():
    right = Tiny()(filmed("rest", 6, drift=12.0))[0]
    left = Tiny()(filmed("rest", 6, drift=12.0)[:, :, :, ::-1])[0]
    assert np.allclose(left[PAN], right[PAN] * (-1, 1), atol=0.05)


def test_a_film_run_backwards_moves_as_much():
    forwards = filmed("orbit", 7)
    there, back = Tiny()(forwards)[0], Tiny()(forwards[:, ::-1])[0]
    assert np.allclose(there[SPEED], back[SPEED], atol=0.1)


def test_motion_is_known_again_in_another_colour_and_place():
    """The nearest mean of other things' windows is of the same motion, for most; by chance it would be a fifth."""
    kinds = list(ACTIONS)
    seen = np.stack([[Tiny()(filmed(kind, seed))[0, 75:] for seed in range(6)] for kind in kinds])
    right = 0
    for left_out in range(6):
        means = np.delete(seen, left_out, axis=1).mean(1)  # one a kind
        away = np.linalg.norm(seen[:, None, left_out] - means[None], axis=2)
        right += int((away.argmin(1) == np.arange(len(kinds))).sum())
    assert right >= 24  # of 30


def test_appearance_does_not_see_time():
    """The snippet's own pictures in another order have the same colours and edges."""
    pictures = noise(8)
    own = (WINDOW - Tiny.sampling.stride) // 2
    shuffled = pictures.copy()
    shuffled[:, [own, own + 2, own + 4]] = pictures[:, [own + 4, own, own + 2]]
    assert np.allclose(Tiny()(shuffled)[:, APPEARANCE], Tiny()(pictures)[:, APPEARANCE], atol=1e-3)
