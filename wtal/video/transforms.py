"""A decoded frame to the picture that a viewer sees, at the size that a backbone wants."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from wtal.core.errors import DataError
from wtal.video.backbones.base import Sampling

# The same numbers whatever instructions the processor has, and colours as fine as brightness; it costs nothing.
SWS_FLAGS = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT
MAX_ASPECT = 16  # times as long as wide: no video is, and scaling its shorter side up would fill the memory


@dataclass(frozen=True)
class Orientation:
    """How stored rows and columns come to be shown: transposed, then mirrored in x, then in y."""

    turned: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """H x W x 3 as stored -> as shown."""
        if self.turned:
            picture = picture.transpose(1, 0, 2)
        return picture[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]


class FrameTransform:
    """Frame -> H x W x 3 RGB: square pixels, upright, shorter side scaled, centre cropped.

    The first frame decides size and orientation; one of another size, later in the stream, is scaled to the same.
    Messages do not name the file: that is left to whoever opened it.
    """

    def __init__(self, sampling: Sampling, pixel_aspect: float) -> None:
        self.sampling = sampling
        self.pixel_aspect = pixel_aspect
        self.orientation = Orientation()
        self.size: tuple[int, int] | None = None  # width, height as stored, before cropping
        self.reformatter = VideoReformatter()  # one for all: it is slow to set up

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        if self.size is None:
            self.orientation = orientation(frame)
            size = scaled(*seen_size(frame, self.pixel_aspect), self.sampling.side)
            self.size = size[::-1] if self.orientation.turned else size
        rgb = self.reformatter.reformat(frame, *self.size, "rgb24", interpolation=SWS_FLAGS, threads=1)
        picture = self.orientation(np.asarray(rgb.to_ndarray(), np.uint8))
        return np.ascontiguousarray(centre(picture, self.sampling.crop))


def seen_size(frame: VideoFrame, pixel_aspect: float) -> tuple[float, float]:
    """Width and height as shown, in square pixels. Raises DataError when the shape is that of no video."""
    width, height = frame.width * max(pixel_aspect, 1.0), frame.height / min(pixel_aspect, 1.0)
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise DataError(f"shows {width:.0f} x {height:.0f} pixels, too narrow for a video; correct its aspect ratio")
    return (height, width) if orientation(frame).turned else (width, height)


def scaled(width: float, height: float, side: int) -> tuple[int, int]:
    """The size whose shorter side is `side`."""
    ratio = side / min(width, height)
    return round(width * ratio), round(height * ratio)


def centre(picture: NDArray[np.uint8], crop: int | None) -> NDArray[np.uint8]:
    """The middle `crop` x `crop` of H x W x 3; all of it for None."""
    if crop is None:
        return picture
    top, left = (picture.shape[0] - crop) // 2, (picture.shape[1] - crop) // 2
    return picture[top : top + crop, left : left + crop]


def orientation(frame: VideoFrame) -> Orientation:
    """What the display matrix says, to the nearest quarter turn."""
    try:
        side_data: Any = frame.side_data
        matrix = np.frombuffer(side_data["DISPLAYMATRIX"], np.int32)
    except KeyError:
        return Orientation()
    except ValueError:
        # Beside data that PyAV has no name for (EXIF in a camera's Motion JPEG) it tells but the turn to the left.
        quarters = round(frame.rotation / 90) % 4
        return Orientation(quarters in (1, 3), quarters in (2, 3), quarters in (1, 2))
    a, b, _, c, d = matrix[:5].tolist()  # (x, y) -> (a x + c y, b x + d y)
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(True, c < 0, b < 0)
    return Orientation(False, a < 0, d < 0)
