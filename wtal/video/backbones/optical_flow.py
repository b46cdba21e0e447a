"""Optical flow between the frames of each snippet, in the range that I3D's flow stream was trained on."""

import numpy as np
import torch
from numpy.typing import NDArray

from wtal.core.errors import ConfigError

MAX_DISPLACEMENT = 20.0  # pixels; larger displacements are clipped, then all are scaled to [-1, 1]
METHOD = f"opencv DIS medium, clipped at {MAX_DISPLACEMENT:g} pixels"  # recorded in the provenance


def optical_flow(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Displacement of each pixel from one frame to the next.

    The flow of frame t leads to frame t + 1 of the same snippet. The last frame repeats the flow before it (zero if the
    snippet has a single frame). I3D was trained on TV-L1 flow of this range (Carreira and Zisserman, 2017); DIS
    (Kroeger et al., 2016) is over a hundred times as fast.

    Args:
        frames: RGB frames of at least 12 x 12 pixels, N x T x H x W x 3.

    Returns:
        Displacements (x, y) in units of 20 pixels, within [-1, 1]; right and down are positive. N x T x H x W x 2.

    Raises:
        ConfigError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise ConfigError(
            "optical flow needs OpenCV", hint="pip install 'wtal[flow]'", code="missing-dependency"
        ) from error
    cv2.setNumThreads(torch.get_num_threads())  # worker processes share the cores
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.zeros((*frames.shape[:-1], 2), np.float32)  # N x T x H x W x 2
    for snippet, snippet_flow in zip(frames, flow, strict=True):
        gray = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in snippet]
        for t in range(len(gray) - 1):
            method.calc(gray[t], gray[t + 1], snippet_flow[t])  # the initial estimate is the content: zero
        snippet_flow[-1] = snippet_flow[max(len(gray) - 2, 0)]
    return np.divide(flow.clip(-MAX_DISPLACEMENT, MAX_DISPLACEMENT, out=flow), np.float32(MAX_DISPLACEMENT), out=flow)
