"""Optical flow between the pictures of each snippet, as I3D's flow stream was trained to see it."""

import numpy as np
import torch
from numpy.typing import NDArray

from wtal.core.errors import ConfigError

BOUND = 20.0  # pixels; larger displacements are cut, then all are scaled to [-1, 1]
FLOW = f"opencv DIS medium, clipped at {BOUND:g} pixels"  # what provenance says of it


def optical_flow(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far each pixel moves (x, y), 1 being 20 pixels and the most. N x T x H x W x 3 -> N x T x H x W x 2.

    Picture t's flow is towards picture t + 1 of its own snippet; the last one, which has no next, repeats the flow
    before it (zero if the snippet is a single picture). Right and down are positive. I3D was trained on TV-L1 flow
    of this range (Carreira and Zisserman, 2017); DIS (Kroeger et al., 2016) is over a hundred times as fast.

    RGB pictures of at least 12 x 12 pixels. Raises ConfigError where OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise ConfigError("optical flow needs OpenCV; pip install opencv-python-headless") from error
    cv2.setNumThreads(torch.get_num_threads())  # several workers share the cores: each keeps to its own
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.zeros((*pictures.shape[:-1], 2), np.float32)  # N x T x H x W x 2
    for snippet, out in zip(pictures, flow, strict=True):
        grey = [cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY) for picture in snippet]
        for t in range(len(grey) - 1):
            method.calc(grey[t], grey[t + 1], out[t])  # its first guess is what lies there: zero
        out[-1] = out[max(len(grey) - 2, 0)]
    return np.divide(flow.clip(-BOUND, BOUND, out=flow), np.float32(BOUND), out=flow)
