"""Convert a decoded frame to RGB as a player displays it, at the size that a backbone expects."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from wtal.core.errors import DataError
from wtal.video.backbones.base import Sampling

# Bit-exact on every processor, with color interpolated as accurately as brightness. This costs no measurable time.
SWS_FLAGS = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT
MAX_ASPECT = (
    16  # longer side relative to the shorter; scaling up the shorter side of such a frame would fill the memory
)


@dataclass(frozen=True)
class Orientation:
    """How stored rows and columns are displayed: transposed, then mirrored in x, then in y."""

    transposed: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> "Orientation":
        """The orientation in the display matrix, to the nearest quarter turn."""
        try:
            side_data: Any = frame.side_data
            matrix = np.frombuffer(side_data["DISPLAYMATRIX"], np.int32)
        except KeyError:
            return cls()
        except ValueError:
            # PyAV raises this for side data without a name (EXIF in Motion JPEG); the rotation is still available.
            quarters = round(frame.rotation / 90) % 4
            return cls(quarters in (1, 3), quarters in (2, 3), quarters in (1, 2))
        a, b, _, c, d = matrix[:5].tolist()  # (x, y) -> (a x + c y, b x + d y)
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(True, c < 0, b < 0)
        return cls(False, a < 0, d < 0)

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """H x W x 3 as stored to H x W x 3 as displayed."""
        if self.transposed:
            frame = frame.transpose(1, 0, 2)
        return frame[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]


class FrameTransform:
    """Converts decoded frames to RGB, H x W x 3: square pixels, upright, shorter side scaled, center cropped.

    The first frame determines size and orientation; later frames of another size are scaled to the same size.
    Errors do not contain the path, which the caller adds.
    """

    def __init__(self, sampling: Sampling, pixel_aspect: float) -> None:
        self.sampling = sampling
        self.pixel_aspect = pixel_aspect
        self.orientation = Orientation()
        self.size: tuple[int, int] | None = None  # width and height as stored, before cropping
        self.reformatter = VideoReformatter()  # reused because it is slow to create

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        if self.size is None:
            self.orientation = Orientation.of(frame)
            self.size = self._scaled_size(frame)
        rgb = self.reformatter.reformat(frame, *self.size, "rgb24", interpolation=SWS_FLAGS, threads=1)
        oriented = self.orientation(np.asarray(rgb.to_ndarray(), np.uint8))
        return np.ascontiguousarray(center_crop(oriented, self.sampling.crop))

    def _scaled_size(self, frame: VideoFrame) -> tuple[int, int]:
        """Width and height as stored, in square pixels, where the shorter side is `sampling.side`."""
        width, height = frame.width * max(self.pixel_aspect, 1.0), frame.height / min(self.pixel_aspect, 1.0)
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise DataError(
                f"a frame of {width:.0f} x {height:.0f} pixels is too narrow",
                hint="correct the aspect ratio of the video",
                code="invalid-aspect-ratio",
            )
        ratio = self.sampling.side / min(width, height)
        return round(width * ratio), round(height * ratio)


def center_crop(frame: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """The central `size` x `size` pixels of H x W x 3, or the whole frame for None."""
    if size is None:
        return frame
    top, left = (frame.shape[0] - size) // 2, (frame.shape[1] - size) // 2
    return frame[top : top + size, left : left + size]
