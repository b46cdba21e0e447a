"""How well the colors of the classes can be told apart, with normal and with simulated color-blind vision.

Prints the smallest difference (CIEDE2000) between two of the 12 colors in each theme.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from wtal.core.text import markdown_table
from wtal.reporting.figures.colors import DARK_PALETTE, PALETTE

Array = NDArray[np.float64]

# Machado, Oliveira and Fernandes, A physiologically-based model for simulation of color vision deficiency (2009),
# table 1, severity 1.0; for linear RGB.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
# IEC 61966-2-1, D65.
RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE_POINT = RGB_TO_XYZ.sum(1)


def to_lab(hex_colors: Sequence[str], vision: str = "normal") -> Array:
    """CIELAB (D65) of colors as they are seen.

    Args:
        hex_colors: N colors as #RRGGBB.
        vision: A key of `VISIONS`.

    Returns:
        N x 3.
    """
    rgb = np.array([[int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for color in hex_colors])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(linear @ VISIONS[vision].T, 0, 1) @ RGB_TO_XYZ.T / WHITE_POINT
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def ciede2000(first: Array, second: Array) -> Array:
    """The color difference CIEDE2000.

    Args:
        first: CIELAB colors, ... x 3.
        second: The same.

    Returns:
        The differences. About 1 can just be seen side by side.

    Source: Sharma, Wu and Dalal, The CIEDE2000 color-difference formula (2005).
    """
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(first, -1, 0), np.moveaxis(second, -1, 0)
    mean_chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(mean_chroma**7 / (mean_chroma**7 + 25.0**7)))
    c1, c2 = np.hypot((1 + g) * a1, b1), np.hypot((1 + g) * a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, (1 + g) * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    has_hue = c1 * c2 > 0
    turn = np.where(has_hue, (h2 - h1 + 180) % 360 - 180, 0)
    delta_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    hue = np.radians(np.where(has_hue, h1 + turn / 2, h1 + h2))
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * np.cos(hue - np.radians(30))
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + np.radians(6))
        - 0.20 * np.cos(4 * hue - np.radians(63))
    )
    s_l = 1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    angle = 30 * np.exp(-((((np.degrees(hue) % 360) - 275) / 25) ** 2))
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(np.radians(2 * angle))
    terms = (l2 - l1) / s_l, (c2 - c1) / s_c, delta_h / s_h
    return np.sqrt(sum(term**2 for term in terms) + rotation * terms[1] * terms[2])


def smallest_difference(hex_colors: Sequence[str], vision: str = "normal") -> tuple[float, str, str]:
    """The smallest CIEDE2000 difference between two of the colors, and which two these are."""
    lab = to_lab(hex_colors, vision)
    pairs = list(combinations(range(len(hex_colors)), 2))
    first, second = np.array(pairs).T
    differences = ciede2000(lab[first], lab[second])
    i, j = pairs[int(differences.argmin())]
    return float(differences.min()), hex_colors[i], hex_colors[j]


def measure() -> list[str]:
    """The lines of the section."""
    rows = []
    for theme, palette in (("light", PALETTE), ("dark", DARK_PALETTE)):
        for vision in VISIONS:
            difference, first, second = smallest_difference(palette, vision)
            rows.append((theme, vision, f"{difference:.1f}", f"{first}, {second}"))
    return list(markdown_table(("theme", "vision", "smallest CIEDE2000", "between"), rows))
