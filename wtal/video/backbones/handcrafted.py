"""The `tiny` backbone: colors, edges and motion of a snippet, computed without weights. For computers without a GPU.

Axes: W frames of a snippet and the P = W - 1 steps between them, h x w pixels of the downscaled gray frames, b x c
blocks whose motion is estimated, R regions of blocks. x points to the right and y down, both in gray pixels.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wtal.core.arrays import Floats
from wtal.video.backbones.base import Backbone, Sampling

GRAY_SIDE = 32  # pixels of the shorter side of the gray frames
MAX_ASPECT = 4  # longer side of the gray frames relative to the shorter; wider frames are squeezed
BLOCK = 3  # gray pixels from one block to the next
CELLS = 3  # rows and columns of the grid on which colors and motion are averaged
DIRECTIONS = 8  # bins of the histograms of directions
FREQUENCIES = 6  # temporal frequencies, 0.78 Hz apart, from 0 to 3.9 Hz
MIN_TEXTURE = 0.02  # squared contrast below which motion is damped
MAX_VALUE = 10.0  # all features are clipped to +- this
GRAY = np.array([0.299, 0.587, 0.114], np.float32) / 255


class Tiny(Backbone):
    """Appearance (colors, edge orientations) and motion (optical flow without the camera's, its course in time)."""

    name = "tiny"
    weights = "formula 1"  # increase it with every change of the numbers, so that old features are recognized
    sampling = Sampling(fps=12.5, stride=6, window=16, side=64, crop=None)
    # One group: with two, their attentions would have to agree, but what moves is rarely what has a strong color.
    widths = (190,)
    batch_size = 32
    single_core = True

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB frames of any size, N x W x H x W x 3, to features, N x 190."""
        return np.stack([_describe(snippet) for snippet in frames])


def _describe(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """W x H x W x 3 to 190. Each number is shifted and scaled to about zero mean and unit variance over videos."""
    start = (len(frames) - Tiny.sampling.stride) // 2
    center = slice(start, start + Tiny.sampling.stride, 2)  # every second frame of the snippet without its context
    gray = _gray(frames)
    parts = [*_colors(frames[center]), *_edges(gray[center]), *_motion(_flow(gray)), *_flicker(gray)]
    return np.clip(np.concatenate([part.ravel() for part in parts]), -MAX_VALUE, MAX_VALUE).astype(np.float32)


def _gray(frames: NDArray[np.uint8]) -> Floats:
    """Downscaled gray frames, normalized by the window's brightness and contrast. W x H x W x 3 to W x h x w."""
    height, width = frames.shape[1:3]
    shorter = min(height, width)
    h, w = (min(round(GRAY_SIDE * side / shorter), MAX_ASPECT * GRAY_SIDE) for side in (height, width))
    small = _area_means(height, h) @ (frames.astype(np.float32) @ GRAY) @ _area_means(width, w).T
    return (small - small.mean()) / (small.std() + np.float32(0.05))


def _colors(frames: NDArray[np.uint8]) -> Iterator[Floats]:
    """Brightness, red against green and both against blue in each cell; the spread of each channel over the cells."""
    height, width = frames.shape[1:3]
    mean = frames.mean(0, dtype=np.float32) / 255  # H x W x 3
    cells = _area_means(height, CELLS) @ np.moveaxis(mean, 2, 0) @ _area_means(width, CELLS).T  # 3 x CELLS x CELLS
    red, green, blue = cells
    yield 4 * (red + green + blue) / 3 - 2
    yield 4 * (red - green)
    yield 2 * (red + green - 2 * blue)
    yield 5 * cells.std((1, 2)) - 1


def _edges(gray: Floats) -> Iterator[Floats]:
    """Edges by orientation, for the whole frame and its quarters: square roots of the shares, and total strength."""
    dx, dy = _gradients(gray)
    h, w = gray.shape[1:]
    quarter = np.add.outer(2 * (np.arange(h) * 2 // h), np.arange(w) * 2 // w)  # h x w
    quarters = _histograms(dx, dy, np.pi, np.broadcast_to(quarter, gray.shape), 4) * 4 / gray.size
    edges = np.concatenate([quarters.mean(0, keepdims=True), quarters])  # 5 x DIRECTIONS
    strength = edges.sum(1, keepdims=True)
    yield 10 * np.sqrt(edges / (strength + 0.02)) - 3
    yield 4 * np.log1p(10 * strength) - 5


def _flow(gray: Floats) -> Floats:
    """Displacement of each block per step in gray pixels, by the least squares of Lucas and Kanade. 2 x P x b x c."""
    dx, dy = _gradients((gray[1:] + gray[:-1]) / 2)
    dt = gray[1:] - gray[:-1]
    products = np.stack([dx * dx, dx * dy, dy * dy, dx * dt, dy * dt])
    xx, xy, yy, xt, yt = _block_means(gray.shape[1]) @ products @ _block_means(gray.shape[2]).T
    xx, yy = xx + np.float32(MIN_TEXTURE), yy + np.float32(MIN_TEXTURE)
    flow = np.stack([xy * yt - yy * xt, xy * xt - xx * yt]) / (xx * yy - xy * xy)
    return np.clip(flow, -3, 3)  # larger displacements cannot be estimated reliably


def _motion(flow: Floats) -> Iterator[Floats]:
    """Position and direction of motion relative to the camera, motion of the camera, and the course in time."""
    weights = _window_weights(flow.shape[1])  # P
    camera = np.median(flow, axis=(2, 3))  # 2 x P: most blocks show the background
    x, y = flow - camera[..., None, None]
    speed = np.hypot(x, y)  # P x b x c
    mean = np.tensordot(weights, speed, 1)  # b x c
    cells = _area_means(mean.shape[0], CELLS) @ mean @ _area_means(mean.shape[1], CELLS).T
    yield 2 * np.log1p(10 * cells) - 1.6
    yield 2 * np.log1p(np.array([mean.max() * 10 / 3, mean.mean() * 10])) - 1.6
    step_weights = np.broadcast_to(weights[:, None, None], speed.shape)
    whole_frame = np.zeros(speed.shape, np.intp)
    directions = _histograms(x * step_weights, y * step_weights, 2 * np.pi, whole_frame, 1)[0] / mean.size
    yield 10 * np.sqrt(directions / (directions.sum() + 0.02)) - 3
    pan = camera @ weights  # 2
    yield 10 * pan
    yield 10 * np.sqrt((camera - pan[:, None]) ** 2 @ weights)
    yield from _motion_spectrum(x, y, speed)


def _motion_spectrum(x: Floats, y: Floats, speed: Floats) -> Iterator[Floats]:
    """Temporal frequencies of sideways, vertical, expanding, rotating and total motion; inputs are P x b x c.

    Computed for the whole frame, and for the region where each is strongest, as other objects may move elsewhere.
    """
    signals, amount = _motion_signals(x, y, speed)
    share = amount[1:] / (amount[0] + 2)  # R - 1
    spectra = _spectrum(signals)[..., :FREQUENCIES]  # R x 5 x FREQUENCIES
    magnitude = np.sqrt(np.abs(spectra))
    yield 8 * magnitude[0] - 2
    yield 8 * (magnitude[1:] * np.sqrt(share)[:, None, None]).max(0) - 2
    yield 8 * spectra[0, :4, 0].real  # signed means: right, down, expansion, clockwise rotation
    # Sideways and vertical motion in phase oscillate on a line; with a phase of a quarter period they go in circles.
    cross = spectra[:, 0, 1:5] * spectra[:, 1, 1:5].conj()
    cross /= np.sqrt(np.abs(cross) + 1e-3)
    cross = np.abs(np.stack([cross.imag, cross.real], 1))  # R x 2 x 4
    yield 15 * cross[0] - 0.6
    yield 15 * (cross[1:] * share[:, None, None]).max(0) - 0.6


def _motion_signals(x: Floats, y: Floats, speed: Floats) -> tuple[Floats, Floats]:
    """Shift, expansion, rotation and total motion of each region in each step, R x 5 x P; amount of motion, R."""
    b, c = speed.shape[1:]
    regions = _region_weights(b, c)

    def sum_regions(values: Floats) -> Floats:
        return regions @ values.reshape(len(speed), b * c).T  # R x P

    row, column = (axis.astype(np.float32) for axis in np.mgrid[:b, :c])
    power = speed * speed
    total_power = sum_regions(power) + 0.1
    center_x, center_y = sum_regions(power * column) / total_power, sum_regions(power * row) / total_power
    variance = sum_regions(power * (column**2 + row**2)) / total_power - center_x**2 - center_y**2
    radius = np.sqrt(np.clip(variance, 0, None)) + 1  # of what moves, in blocks
    right, down, motion = sum_regions(x), sum_regions(y), sum_regions(speed)
    expansion = sum_regions(x * column + y * row) - center_x * right - center_y * down
    rotation = sum_regions(y * column - x * row) - center_x * down + center_y * right
    amount = motion.mean(1)
    signals = np.stack([right, down, expansion / radius, rotation / radius, motion], 1)
    return signals / (amount + 0.5)[:, None, None], amount


def _flicker(gray: Floats) -> Iterator[Floats]:
    """Temporal frequencies of the blocks' brightness: their mean, and the maximum over the blocks."""
    blocks = (_block_means(gray.shape[1]) @ gray @ _block_means(gray.shape[2]).T).reshape(len(gray), -1).T
    spectra = np.abs(_spectrum(blocks - blocks.mean(1, keepdims=True)))[:, 1 : 1 + FREQUENCIES]
    yield 10 * np.log1p(5 * spectra.mean(0)) - 1
    yield 4 * np.log1p(5 * spectra.max(0)) - 1.5


def _spectrum(signals: Floats) -> NDArray[np.complexfloating]:
    """Fourier transform along the last axis, weighted towards the middle of the window."""
    return np.fft.rfft(signals * _window_weights(signals.shape[-1]), n=Tiny.sampling.window)


def _gradients(gray: Floats) -> tuple[Floats, Floats]:
    """Derivatives of the brightness to the right and down. W x h x w each."""
    dy, dx = np.gradient(gray, axis=(1, 2))
    return np.asarray(dx), np.asarray(dy)


def _histograms(x: Floats, y: Floats, period: float, groups: NDArray[np.intp], num_groups: int) -> Floats:
    """Sum of vector lengths by group and direction, split between the two nearest bins. num_groups x DIRECTIONS."""
    length = np.hypot(x, y).ravel()
    position = (np.arctan2(y, x) % period * (DIRECTIONS / period)).ravel()
    lower = position.astype(np.intp)
    share = position - lower
    first_bin = groups.ravel() * DIRECTIONS
    sums = np.bincount(first_bin + lower % DIRECTIONS, length * (1 - share), num_groups * DIRECTIONS)
    sums += np.bincount(first_bin + (lower + 1) % DIRECTIONS, length * share, num_groups * DIRECTIONS)
    return np.asarray(sums, np.float64).reshape(num_groups, DIRECTIONS)


@lru_cache
def _window_weights(count: int) -> Floats:
    """A Hann window that sums to one."""
    hann = np.hanning(count + 2)[1:-1]
    return (hann / hann.sum()).astype(np.float32)


@lru_cache
def _area_means(size: int, cells: int) -> Floats:
    """Matrix of the means over `cells` equal parts of `size` pixels, with fractions of pixels. cells x size."""
    edges, pixels = np.linspace(0, size, cells + 1), np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.clip(overlap, 0, None) * cells / size).astype(np.float32)


@lru_cache
def _block_means(size: int) -> Floats:
    """Matrix of triangularly weighted means around the centers of the blocks. size / BLOCK x size."""
    blocks = max(1, size // BLOCK)
    centers = (np.arange(blocks) + 0.5) * size / blocks
    weights = np.clip(1 - np.abs(np.arange(size) + 0.5 - centers[:, None]) / (BLOCK + 1), 0, None)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


@lru_cache
def _region_weights(b: int, c: int) -> Floats:
    """Weights of the blocks in the whole frame and in nine overlapping regions. 10 x b * c."""

    def thirds(count: int) -> NDArray[np.float64]:
        distance = np.abs((np.arange(count) + 0.5) / count - np.array([[0.0], [0.5], [1.0]]))
        return np.clip(1.3 - 2 * distance, 0, 1)  # 3 x count

    nine = np.einsum("ib,jc->ijbc", thirds(b), thirds(c)).reshape(9, b * c)
    return np.concatenate([np.ones((1, b * c)), nine]).astype(np.float32)
