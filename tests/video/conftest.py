"""Videos that the tests of extraction share."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.video import render, texture

SHORT_VIDEOS = 4


def moving_texture(seconds: float, seed: int) -> list[np.ndarray]:
    """Frames for 10 frames per second, 48 x 64 x 3 each."""
    return [np.roll(texture(seed), i, 1) for i in range(round(seconds * 10))]


@pytest.fixture(scope="session")
def short_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good0.mp4 to good3.mp4, 2 to 5 seconds long; read only."""
    folder = tmp_path_factory.mktemp("short videos")
    for i in range(SHORT_VIDEOS):
        render(folder / f"good{i}.mp4", moving_texture(2 + i, seed=i), fps=10)
    return folder
