"""Pictures of things that move in one way or another before a drifting texture, at any time asked for.

Places are in pixels (x to the right, y downwards), times in seconds, angles in radians.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Place = tuple[float, float]
Colour = tuple[float, ...]  # red, green, blue; 0 to 255


@dataclass(frozen=True)
class Pose:
    """Where a thing is, and how it is turned, scaled and lit there."""

    x: float = 0.0
    y: float = 0.0
    angle: float = 0.0
    scale: float = 1.0
    light: float = 1.0


def _bounce(cycles: float, reach: float) -> Pose:
    return Pose(y=-2 * reach * abs(np.sin(np.pi * cycles)))


def _orbit(cycles: float, reach: float) -> Pose:
    turn = 2 * np.pi * cycles
    return Pose(x=reach * np.sin(turn), y=reach * (np.cos(turn) - 1))


def _pulse(cycles: float, reach: float) -> Pose:
    return Pose(scale=np.exp(0.45 * np.sin(2 * np.pi * cycles)))


def _spin(cycles: float, reach: float) -> Pose:
    return Pose(angle=2 * np.pi * cycles)


def _zigzag(cycles: float, reach: float) -> Pose:
    return Pose(x=2 * reach * _triangle(cycles), y=reach * _triangle(4 * cycles))


def _blink(cycles: float, reach: float) -> Pose:
    return Pose(light=0.75 + 0.25 * np.cos(2 * np.pi * cycles))


def _rest(cycles: float, reach: float) -> Pose:
    return Pose()


def _sway(cycles: float, reach: float) -> Pose:
    return Pose(x=reach * np.sin(2 * np.pi * cycles))


def _triangle(cycles: float) -> float:
    """0, 1, 0, -1, 0 in straight lines within a cycle."""
    return 1 - abs((cycles + 0.75) % 1 * 4 - 2)


# After whole cycles each motion is back where it began, so that one can follow another without a jump.
ACTIONS: dict[str, Callable[[float, float], Pose]] = {
    "bounce": _bounce,
    "orbit": _orbit,
    "pulse": _pulse,
    "spin": _spin,
    "zigzag": _zigzag,
}
OTHERS = {"blink": _blink, "rest": _rest, "sway": _sway}  # of no class
MOTIONS = ACTIONS | OTHERS


@dataclass(frozen=True)
class Move:
    """`cycles` of a motion from `start` to `end`, about a place that itself goes from `origin` to `target`."""

    kind: str
    start: float
    end: float
    origin: Place
    target: Place
    cycles: int = 1
    reach: float = 0.0

    def pose(self, time: float) -> Pose:
        """The pose at a time; before the start and after the end, the one there."""
        share = min(max((time - self.start) / (self.end - self.start), 0.0), 1.0)
        pose = MOTIONS[self.kind](self.cycles * share, self.reach)
        x, y = (a + share * (b - a) for a, b in zip(self.origin, self.target, strict=True))
        return Pose(x + pose.x, y + pose.y, pose.angle, pose.scale, pose.light)


@dataclass(frozen=True)
class Look:
    """A blob with lobes; its two halves differ in colour, so that it is seen to turn."""

    radius: float
    lobes: int
    depth: float  # of the notches between the lobes, as a share of the radius
    angle: float  # at rest
    colours: tuple[Colour, Colour]


@dataclass(frozen=True)
class Thing:
    """A look and its moves, one after the other."""

    look: Look
    moves: tuple[Move, ...]

    def pose(self, time: float) -> Pose:
        """The pose at a time."""
        move = next((move for move in self.moves if time < move.end), self.moves[-1])
        return move.pose(time)


@dataclass(frozen=True)
class Scene:
    """A background and the things before it, until the cut at `end`."""

    end: float
    colour: Colour  # the background's middle
    tint: Colour  # what the texture adds to it
    texture: NDArray[np.float32]  # H x W, its edges fit together
    drift: Place  # pixels a second
    things: tuple[Thing, ...]

    @cached_property
    def _waves(self) -> NDArray[np.complexfloating]:
        return np.fft.rfft2(self.texture)

    def picture(self, time: float) -> NDArray[np.float32]:
        """What is seen at a time, about 0 to 255. H x W x 3."""
        height, width = self.texture.shape
        across = np.exp(-2j * np.pi * np.fft.rfftfreq(width) * self.drift[0] * time)
        down = np.exp(-2j * np.pi * np.fft.fftfreq(height) * self.drift[1] * time)
        texture = np.fft.irfft2(self._waves * down[:, None] * across, (height, width))
        picture = np.array(self.colour, np.float32) + texture.astype(np.float32)[..., None] * np.array(
            self.tint, np.float32
        )
        for thing in self.things:
            _draw(picture, thing.look, thing.pose(time))
        return picture


def clouds(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """A texture of clouds of all sizes, with a mean of 0 and a standard deviation of 1. H x W."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    waves = np.fft.rfft2(rng.standard_normal((height, width))) / frequency**1.2
    texture = np.fft.irfft2(waves, (height, width))
    return (texture / texture.std()).astype(np.float32)


def _draw(picture: NDArray[np.float32], look: Look, pose: Pose) -> None:
    """Draw a blob into H x W x 3, its edges softened; what would lie outside is left out."""
    radius = look.radius * pose.scale
    rows, columns = (slice(max(0, int(at - radius - 1)), max(0, int(at + radius + 3))) for at in (pose.y, pose.x))
    patch = picture[rows, columns]
    down = np.arange(rows.start, rows.start + patch.shape[0], dtype=np.float32)[:, None] - pose.y
    across = np.arange(columns.start, columns.start + patch.shape[1], dtype=np.float32) - pose.x
    away, bearing = np.hypot(across, down), np.arctan2(down, across) - pose.angle - look.angle
    outline = radius * (1 - look.depth * (0.5 - 0.5 * np.cos(look.lobes * bearing)))
    cover = np.clip(outline - away + 0.5, 0, 1)[..., None]
    half = np.clip(away * np.sin(bearing) + 0.5, 0, 1)[..., None]
    first, second = (np.array(colour, np.float32) for colour in look.colours)
    patch += cover * (pose.light * (half * first + (1 - half) * second) - patch)
