"""The `tiny` backbone: colours, edges and motion of a snippet, measured without any weights. For weak machines.

Axes: W pictures of a snippet and the P = W - 1 steps between them, h x w pixels of the shrunken grey pictures,
b x c blocks whose motion is measured, R regions of blocks. x goes to the right and y downwards, in grey pixels.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wtal.video.backbones.base import Sampling

Floats = NDArray[np.floating]

SHORT = 32  # pixels of the grey pictures' shorter side
LONGEST = 4  # times as long the longer side may be; what is longer is squeezed
BLOCK = 3  # grey pixels from one block to the next
CELLS = 3  # of the grid that tells where colours and motion are, each way
BEARINGS = 8  # directions that are told apart
BANDS = 6  # temporal frequencies, 0.78 Hz apart, from none to 3.9 Hz
TEXTURE = 0.02  # squared contrast that it takes to see motion
BOUND = 10.0  # no number is larger
GREY = np.array([0.299, 0.587, 0.114], np.float32) / 255


class Tiny:
    """Appearance (colours, edge orientations) and motion (flow less the camera's, its course in time)."""

    name = "tiny"
    weights = "formula 1"  # raise it with every change of the numbers: old features must not pass for new ones
    precision = "float32"
    flow = ""
    sampling = Sampling(fps=12.5, stride=6, window=16, side=64, crop=None)
    # One group: as two, their attentions would have to agree, and what moves is rarely what is coloured.
    widths = (190,)
    batch = 32

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """N x W x H x W x 3 RGB pictures -> N x 190, each snippet by itself; any height and width will do."""
        return np.stack([_describe(snippet) for snippet in pictures])


def _describe(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """W x H x W x 3 -> 190. Zero is about the mean and one the spread of each number over films."""
    first = (len(pictures) - Tiny.sampling.stride) // 2
    own = slice(first, first + Tiny.sampling.stride, 2)  # every other picture of the snippet itself
    grey = _grey(pictures)
    parts = [*_colours(pictures[own]), *_edges(grey[own]), *_motion(_flow(grey)), *_flicker(grey)]
    return np.clip(np.concatenate([part.ravel() for part in parts]), -BOUND, BOUND).astype(np.float32)


def _grey(pictures: NDArray[np.uint8]) -> Floats:
    """Shrunken grey pictures, brightness and contrast of the window evened out. W x H x W x 3 -> W x h x w."""
    height, width = pictures.shape[1:3]
    short = min(height, width)
    h, w = (min(round(SHORT * side / short), LONGEST * SHORT) for side in (height, width))
    small = _areas(height, h) @ (pictures.astype(np.float32) @ GREY) @ _areas(width, w).T
    return (small - small.mean()) / (small.std() + np.float32(0.05))


def _colours(pictures: NDArray[np.uint8]) -> Iterator[Floats]:
    """Brightness, red against green, both against blue, cell by cell; and how much each channel differs."""
    height, width = pictures.shape[1:3]
    mean = pictures.mean(0, dtype=np.float32) / 255  # H x W x 3
    cells = _areas(height, CELLS) @ np.moveaxis(mean, 2, 0) @ _areas(width, CELLS).T  # 3 x CELLS x CELLS
    red, green, blue = cells
    yield 4 * (red + green + blue) / 3 - 2
    yield 4 * (red - green)
    yield 2 * (red + green - 2 * blue)
    yield 5 * cells.std((1, 2)) - 1


def _edges(grey: Floats) -> Iterator[Floats]:
    """Edges by orientation: shares (their roots) and strength, in the whole picture and its quarters."""
    across, down = _slopes(grey)
    h, w = grey.shape[1:]
    quarter = np.add.outer(2 * (np.arange(h) * 2 // h), np.arange(w) * 2 // w)  # h x w
    found = _histograms(across, down, np.pi, np.broadcast_to(quarter, grey.shape), 4) * 4 / grey.size
    found = np.concatenate([found.mean(0, keepdims=True), found])  # 5 x BEARINGS
    strength = found.sum(1, keepdims=True)
    yield 10 * np.sqrt(found / (strength + 0.02)) - 3
    yield 4 * np.log1p(10 * strength) - 5


def _flow(grey: Floats) -> Floats:
    """Grey pixels that each block moves in a step, by Lucas and Kanade's least squares. 2 x P x b x c: x and y."""
    across, down = _slopes((grey[1:] + grey[:-1]) / 2)
    later = grey[1:] - grey[:-1]
    products = np.stack([across * across, across * down, down * down, across * later, down * later])
    xx, xy, yy, xt, yt = _hats(grey.shape[1]) @ products @ _hats(grey.shape[2]).T
    xx, yy = xx + np.float32(TEXTURE), yy + np.float32(TEXTURE)
    flow = np.stack([xy * yt - yy * xt, xy * xt - xx * yt]) / (xx * yy - xy * xy)
    return np.clip(flow, -3, 3)  # beyond, the steps are too wide to be believed


def _motion(flow: Floats) -> Iterator[Floats]:
    """Where and whereto something moves of itself, how the camera does, and the course of it in time."""
    middle = _bell(flow.shape[1])  # P
    camera = np.median(flow, axis=(2, 3))  # 2 x P: most blocks show the background
    x, y = flow - camera[..., None, None]
    speed = np.hypot(x, y)  # P x b x c
    mean = np.tensordot(middle, speed, 1)  # b x c
    cells = _areas(mean.shape[0], CELLS) @ mean @ _areas(mean.shape[1], CELLS).T
    yield 2 * np.log1p(10 * cells) - 1.6
    yield 2 * np.log1p(np.array([mean.max() * 10 / 3, mean.mean() * 10])) - 1.6
    weights = np.broadcast_to(middle[:, None, None], speed.shape)
    whereto = _histograms(x * weights, y * weights, 2 * np.pi, np.zeros(speed.shape, np.intp), 1)[0] / mean.size
    yield 10 * np.sqrt(whereto / (whereto.sum() + 0.02)) - 3
    pan = camera @ middle  # 2
    yield 10 * pan
    yield 10 * np.sqrt((camera - pan[:, None]) ** 2 @ middle)
    yield from _course(x, y, speed)


def _course(x: Floats, y: Floats, speed: Floats) -> Iterator[Floats]:
    """Temporal frequencies of motion to the sides, up and down, outwards, round, and at all; P x b x c each.

    Of the whole picture, and of the region where each is strongest: other things may move elsewhere.
    """
    signals, amount = _signals(x, y, speed)
    share = amount[1:] / (amount[0] + 2)  # R - 1
    waves = _waves(signals)[..., :BANDS]  # R x 5 x BANDS
    size = np.sqrt(np.abs(waves))
    yield 8 * size[0] - 2
    yield 8 * (size[1:] * np.sqrt(share)[:, None, None]).max(0) - 2
    yield 8 * waves[0, :4, 0].real  # without the time course: right, down, apart or together, clockwise or not
    # Sides and height in step go to and fro on a line; a quarter of a cycle apart, round and round.
    both = waves[:, 0, 1:5] * waves[:, 1, 1:5].conj()
    both /= np.sqrt(np.abs(both) + 1e-3)
    both = np.abs(np.stack([both.imag, both.real], 1))  # R x 2 x 4
    yield 15 * both[0] - 0.6
    yield 15 * (both[1:] * share[:, None, None]).max(0) - 0.6


def _signals(x: Floats, y: Floats, speed: Floats) -> tuple[Floats, Floats]:
    """Each region's motion as a shift, a growth and a turn in each step, R x 5 x P; and how much there is, R."""
    b, c = speed.shape[1:]
    regions = _regions(b, c)

    def total(values: Floats) -> Floats:
        return regions @ values.reshape(len(speed), b * c).T  # R x P

    down, across = (axis.astype(np.float32) for axis in np.mgrid[:b, :c])
    power = speed * speed
    all_power = total(power) + 0.1
    middle_x, middle_y = total(power * across) / all_power, total(power * down) / all_power
    wide = total(power * (across**2 + down**2)) / all_power - middle_x**2 - middle_y**2
    wide = np.sqrt(np.clip(wide, 0, None)) + 1  # of what moves, in blocks
    right, below, motion = total(x), total(y), total(speed)
    outwards = total(x * across + y * down) - middle_x * right - middle_y * below
    round_it = total(y * across - x * down) - middle_x * below + middle_y * right
    amount = motion.mean(1)
    signals = np.stack([right, below, outwards / wide, round_it / wide, motion], 1)
    return signals / (amount + 0.5)[:, None, None], amount


def _flicker(grey: Floats) -> Iterator[Floats]:
    """Temporal frequencies of the blocks' brightness: their mean, and of the block where each is strongest."""
    blocks = (_hats(grey.shape[1]) @ grey @ _hats(grey.shape[2]).T).reshape(len(grey), -1).T
    waves = np.abs(_waves(blocks - blocks.mean(1, keepdims=True)))[:, 1 : 1 + BANDS]
    yield 10 * np.log1p(5 * waves.mean(0)) - 1
    yield 4 * np.log1p(5 * waves.max(0)) - 1.5


def _waves(signals: Floats) -> NDArray[np.complexfloating]:
    """The frequencies of signals along their last axis, the middle of the window counting most."""
    return np.fft.rfft(signals * _bell(signals.shape[-1]), n=Tiny.sampling.window)


def _slopes(grey: Floats) -> tuple[Floats, Floats]:
    """How brightness changes to the right and downwards. W x h x w each."""
    down, across = np.gradient(grey, axis=(1, 2))
    return np.asarray(across), np.asarray(down)


def _histograms(x: Floats, y: Floats, turn: float, place: NDArray[np.intp], places: int) -> Floats:
    """Lengths of vectors by place and direction, each shared by the two nearest directions. places x BEARINGS."""
    length = np.hypot(x, y).ravel()
    bearing = (np.arctan2(y, x) % turn * (BEARINGS / turn)).ravel()
    lower = bearing.astype(np.intp)
    share = bearing - lower
    row = place.ravel() * BEARINGS
    found = np.bincount(row + lower % BEARINGS, length * (1 - share), places * BEARINGS)
    found += np.bincount(row + (lower + 1) % BEARINGS, length * share, places * BEARINGS)
    return np.asarray(found, np.float64).reshape(places, BEARINGS)


@lru_cache
def _bell(count: int) -> Floats:
    """Weights that sum to one, the middle ones largest."""
    bell = np.hanning(count + 2)[1:-1]
    return (bell / bell.sum()).astype(np.float32)


@lru_cache
def _areas(size: int, cells: int) -> Floats:
    """Means over `cells` equal stretches of `size` pixels, parts of pixels counted as such. cells x size."""
    edges, pixels = np.linspace(0, size, cells + 1), np.arange(size)
    shared = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.clip(shared, 0, None) * cells / size).astype(np.float32)


@lru_cache
def _hats(size: int) -> Floats:
    """Means around the middles of blocks, the nearest pixels counting most. size / BLOCK x size."""
    blocks = max(1, size // BLOCK)
    middles = (np.arange(blocks) + 0.5) * size / blocks
    hats = np.clip(1 - np.abs(np.arange(size) + 0.5 - middles[:, None]) / (BLOCK + 1), 0, None)
    return (hats / hats.sum(1, keepdims=True)).astype(np.float32)


@lru_cache
def _regions(b: int, c: int) -> Floats:
    """Weights of the blocks in the whole picture and in nine regions that overlap. 10 x b * c."""

    def thirds(count: int) -> NDArray[np.float64]:
        away = np.abs((np.arange(count) + 0.5) / count - np.array([[0.0], [0.5], [1.0]]))
        return np.clip(1.3 - 2 * away, 0, 1)  # 3 x count

    nine = np.einsum("ib,jc->ijbc", thirds(b), thirds(c)).reshape(9, b * c)
    return np.concatenate([np.ones((1, b * c)), nine]).astype(np.float32)
