"""Optical flow of shifted textures: direction, size, range and independence of snippets."""

import sys

import numpy as np
import pytest

from tests.helpers.errors import raises
from wtal.core.errors import ConfigError
from wtal.video.backbones.optical_flow import MAX_DISPLACEMENT, METHOD, optical_flow

cv2 = pytest.importorskip("cv2")
SIDE = 64


@pytest.fixture(scope="module")
def texture():
    """Blurred noise, large enough to be cropped at many positions."""
    noise = np.random.default_rng(0).integers(0, 256, (5 * SIDE, 5 * SIDE), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def shifted(texture, steps, side=SIDE):
    """Frames, T x H x W x 3, whose content moves by each of `steps` (right, down) from one to the next."""
    corners = SIDE - np.cumsum([(0, 0), *steps], axis=0)
    crops = [texture[y : y + side, x : x + side] for x, y in corners]
    return np.stack(crops)[..., None].repeat(3, axis=-1)


def inner(flow):
    """Without the border, where the content changes. ... x H x W x 2"""
    return flow[..., 12:-12, 12:-12, :]


@pytest.mark.parametrize("step", [(3, 0), (-3, 0), (0, 4), (0, -4), (6, 2), (-1, 1)])
def test_flow_equals_the_shift_in_pixels(texture, step):
    flow = optical_flow(shifted(texture, [step, step])[None])
    assert flow.shape == (1, 3, SIDE, SIDE, 2)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(inner(flow) * MAX_DISPLACEMENT, np.broadcast_to(step, inner(flow).shape), atol=0.2)


def test_flow_leads_to_the_next_frame_and_the_last_frame_repeats_it(texture):
    flow = optical_flow(shifted(texture, [(4, 0), (0, 0), (0, -2)])[None])[0]
    right, down = np.median(flow * MAX_DISPLACEMENT, axis=(1, 2)).T
    np.testing.assert_allclose(right, [4, 0, 0, 0], atol=0.2)
    np.testing.assert_allclose(down, [0, 0, -2, -2], atol=0.2)
    np.testing.assert_array_equal(flow[3], flow[2])


@pytest.mark.parametrize("steps", [[(0, 0), (0, 0)], []])
def test_still_frames_and_single_frames_have_no_flow(texture, steps):
    assert not optical_flow(shifted(texture, steps)[None]).any()


def test_flow_does_not_depend_on_other_snippets(texture):
    frames = np.stack([shifted(texture, [(5, 0), (1, 1)]), shifted(texture, [(0, -3), (-2, 0)])])
    for snippet, flow in zip(frames, optical_flow(frames), strict=True):
        np.testing.assert_array_equal(optical_flow(snippet[None])[0], flow)


def test_large_displacements_are_clipped_to_one(texture):
    coarse = cv2.normalize(cv2.GaussianBlur(texture, (0, 0), 8), None, 0, 255, cv2.NORM_MINMAX)
    flow = optical_flow(shifted(coarse, [(24, 0)], 3 * SIDE)[None])
    assert np.abs(flow).max() <= 1
    assert np.median(flow[..., 0]) == 1
    assert f"{MAX_DISPLACEMENT:g} pixels" in METHOD


def test_frames_may_be_a_view_and_are_not_changed(texture):
    frames = shifted(texture, [(2, 1), (1, 0)])[None, :, :, ::-1]
    copy = frames.copy()
    np.testing.assert_array_equal(optical_flow(frames), optical_flow(copy))
    np.testing.assert_array_equal(frames, copy)


def test_missing_opencv_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with raises(ConfigError, code="missing-dependency"):
        optical_flow(np.zeros((1, 2, 16, 16, 3), np.uint8))
