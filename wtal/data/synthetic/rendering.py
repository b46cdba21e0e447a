"""Rendering of synthetic scenes: shapes that move in different ways in front of a drifting texture.

Points are in pixels (x to the right, y downwards), times in seconds, angles in radians.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Color = tuple[float, ...]  # red, green, blue; 0 to 255


@dataclass(frozen=True)
class Pose:
    """Position, rotation, scale and brightness of a shape."""

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
    return Pose(x=2 * reach * _triangle_wave(cycles), y=reach * _triangle_wave(4 * cycles))


def _blink(cycles: float, reach: float) -> Pose:
    return Pose(light=0.75 + 0.25 * np.cos(2 * np.pi * cycles))


def _rest(cycles: float, reach: float) -> Pose:
    return Pose()


def _sway(cycles: float, reach: float) -> Pose:
    return Pose(x=reach * np.sin(2 * np.pi * cycles))


def _triangle_wave(cycles: float) -> float:
    """0, 1, 0, -1, 0 in straight lines within a cycle."""
    return 1 - abs((cycles + 0.75) % 1 * 4 - 2)


# Each motion ends in its first pose after whole cycles, so that motions follow each other without a jump.
ACTIONS: dict[str, Callable[[float, float], Pose]] = {  # class -> pose relative to a point
    "bounce": _bounce,
    "orbit": _orbit,
    "pulse": _pulse,
    "spin": _spin,
    "zigzag": _zigzag,
}
IDLE_MOTIONS = {"blink": _blink, "rest": _rest, "sway": _sway}  # belong to no class
MOTIONS = ACTIONS | IDLE_MOTIONS


@dataclass(frozen=True)
class Move:
    """A motion relative to a point that goes from `origin` to `target`.

    Attributes:
        kind: A name in `MOTIONS`.
        start: Start in seconds.
        end: End in seconds.
        origin: The point at the start.
        target: The point at the end.
        cycles: How often the motion is repeated.
        reach: The size of the motion in pixels.
    """

    kind: str
    start: float
    end: float
    origin: Point
    target: Point
    cycles: int = 1
    reach: float = 0.0

    def pose(self, time: float) -> Pose:
        """The pose at a time. Before the start it is the first one, after the end the last one."""
        share = min(max((time - self.start) / (self.end - self.start), 0.0), 1.0)
        pose = MOTIONS[self.kind](self.cycles * share, self.reach)
        x, y = (a + share * (b - a) for a, b in zip(self.origin, self.target, strict=True))
        return Pose(x + pose.x, y + pose.y, pose.angle, pose.scale, pose.light)


@dataclass(frozen=True)
class Appearance:
    """A blob with lobes. Its halves have different colors, so that rotation is visible.

    Attributes:
        radius: Radius in pixels.
        lobes: Number of lobes.
        depth: Depth of the notches between the lobes, as a share of the radius.
        angle: Angle at rest.
        colors: The colors of the two halves.
    """

    radius: float
    lobes: int
    depth: float
    angle: float
    colors: tuple[Color, Color]


@dataclass(frozen=True)
class Sprite:
    """A shape and its moves, one after the other."""

    appearance: Appearance
    moves: tuple[Move, ...]

    def pose(self, time: float) -> Pose:
        """The pose at a time."""
        move = next((move for move in self.moves if time < move.end), self.moves[-1])
        return move.pose(time)


@dataclass(frozen=True)
class Scene:
    """A background and the sprites in front of it.

    Attributes:
        end: End in seconds, where the next scene begins.
        color: Mean color of the background.
        tint: Color that the texture adds to it.
        texture: H x W; opposite edges fit together.
        drift: Motion of the texture in pixels per second.
        sprites: From back to front.
    """

    end: float
    color: Color
    tint: Color
    texture: NDArray[np.float32]
    drift: Point
    sprites: tuple[Sprite, ...]

    @cached_property
    def _spectrum(self) -> NDArray[np.complexfloating]:
        return np.fft.rfft2(self.texture)

    def render(self, time: float) -> NDArray[np.float32]:
        """The frame at a time, about 0 to 255. H x W x 3."""
        height, width = self.texture.shape
        x_shift = np.exp(-2j * np.pi * np.fft.rfftfreq(width) * self.drift[0] * time)
        y_shift = np.exp(-2j * np.pi * np.fft.fftfreq(height) * self.drift[1] * time)
        texture = np.fft.irfft2(self._spectrum * y_shift[:, None] * x_shift, (height, width))
        frame = np.array(self.color, np.float32) + texture.astype(np.float32)[..., None] * np.array(
            self.tint, np.float32
        )
        for sprite in self.sprites:
            _draw(frame, sprite.appearance, sprite.pose(time))
        return frame


def cloud_texture(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """A random texture of clouds of all sizes, with mean 0 and standard deviation 1. H x W."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) / frequency**1.2
    texture = np.fft.irfft2(spectrum, (height, width))
    return (texture / texture.std()).astype(np.float32)


def _draw(frame: NDArray[np.float32], appearance: Appearance, pose: Pose) -> None:
    """Draw a blob with soft edges into a frame, H x W x 3. Parts outside the frame are clipped."""
    radius = appearance.radius * pose.scale
    rows, columns = (slice(max(0, int(at - radius - 1)), max(0, int(at + radius + 3))) for at in (pose.y, pose.x))
    patch = frame[rows, columns]
    y = np.arange(rows.start, rows.start + patch.shape[0], dtype=np.float32)[:, None] - pose.y
    x = np.arange(columns.start, columns.start + patch.shape[1], dtype=np.float32) - pose.x
    distance, angle = np.hypot(x, y), np.arctan2(y, x) - pose.angle - appearance.angle
    outline = radius * (1 - appearance.depth * (0.5 - 0.5 * np.cos(appearance.lobes * angle)))
    opacity = np.clip(outline - distance + 0.5, 0, 1)[..., None]
    half = np.clip(distance * np.sin(angle) + 0.5, 0, 1)[..., None]
    first, second = (np.array(color, np.float32) for color in appearance.colors)
    patch += opacity * (pose.light * (half * first + (1 - half) * second) - patch)
