"""A moved texture has the flow it was moved by, nothing that stands still has any, and no snippet sees another."""

import sys

import numpy as np
import pytest

from wtal.core.errors import ConfigError
from wtal.video.backbones.optical_flow import MAX_DISPLACEMENT, METHOD, optical_flow

cv2 = pytest.importorskip("cv2")
SIDE = 64


@pytest.fixture(scope="module")
def texture():
    """A blurred noise, wide enough to look at from many places."""
    noise = np.random.default_rng(0).integers(0, 256, (5 * SIDE, 5 * SIDE), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def moved(texture, steps, side=SIDE):
    """Pictures, T x H x W x 3, whose content moves by each of `steps` (right, down) from one to the next."""
    places = SIDE - np.cumsum([(0, 0), *steps], axis=0)
    views = [texture[y : y + side, x : x + side] for x, y in places]
    return np.stack(views)[..., None].repeat(3, axis=-1)


def inner(flow):
    """Without the rim, where the content comes and goes. ... x H x W x 2"""
    return flow[..., 12:-12, 12:-12, :]


@pytest.mark.parametrize("step", [(3, 0), (-3, 0), (0, 4), (0, -4), (6, 2), (-1, 1)])
def test_a_moved_texture_has_the_flow_it_was_moved_by(texture, step):
    flow = optical_flow(moved(texture, [step, step])[None])
    assert flow.shape == (1, 3, SIDE, SIDE, 2)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(inner(flow) * MAX_DISPLACEMENT, np.broadcast_to(step, inner(flow).shape), atol=0.2)


def test_each_picture_looks_to_the_next_and_the_last_repeats(texture):
    flow = optical_flow(moved(texture, [(4, 0), (0, 0), (0, -2)])[None])[0]
    right, down = np.median(flow * MAX_DISPLACEMENT, axis=(1, 2)).T
    np.testing.assert_allclose(right, [4, 0, 0, 0], atol=0.2)
    np.testing.assert_allclose(down, [0, 0, -2, -2], atol=0.2)
    np.testing.assert_array_equal(flow[3], flow[2])


def test_what_stands_still_has_no_flow(texture):
    assert not optical_flow(moved(texture, [(0, 0), (0, 0)])[None]).any()


def test_a_single_picture_has_no_flow(texture):
    assert not optical_flow(moved(texture, [])[None]).any()


def test_no_snippet_sees_another(texture):
    pictures = np.stack([moved(texture, [(5, 0), (1, 1)]), moved(texture, [(0, -3), (-2, 0)])])
    together = optical_flow(pictures)
    for snippet, flow in zip(pictures, together, strict=True):
        np.testing.assert_array_equal(optical_flow(snippet[None])[0], flow)


def test_what_is_too_fast_is_cut_to_one(texture):
    coarse = cv2.normalize(cv2.GaussianBlur(texture, (0, 0), 8), None, 0, 255, cv2.NORM_MINMAX)
    far = optical_flow(moved(coarse, [(24, 0)], 3 * SIDE)[None])
    assert np.abs(far).max() <= 1
    assert np.median(far[..., 0]) == 1
    assert f"{MAX_DISPLACEMENT:g} pixels" in METHOD


def test_the_pictures_may_be_a_view_and_stay_as_they_are(texture):
    pictures = moved(texture, [(2, 1), (1, 0)])[None, :, :, ::-1]
    before = pictures.copy()
    np.testing.assert_array_equal(optical_flow(pictures), optical_flow(before))
    np.testing.assert_array_equal(pictures, before)


def test_without_opencv_one_sentence_says_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigError, match=r"needs OpenCV; pip install opencv-python-headless"):
        optical_flow(np.zeros((1, 2, 16, 16, 3), np.uint8))
