"""Class colors: the same in every figure of a run, and distinguishable by color-blind readers.

`python -m benchmarks palette` measures how well the colors can be told apart.
"""

from collections.abc import Sequence

# Okabe and Ito, 2008; their black is left for text.
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")
GRAY = "#9CA3AF"
WHITE, BLACK = "#FFFFFF", "#000000"
DARK_BACKGROUND = "#15181C"  # of pages in the dark theme
DARK_TEXT = "#111827"
# Added to Okabe and Ito's and chosen by a random search for the largest smallest difference between two colors, with
# normal and with simulated color-blind vision, while each class has a similar hue in both themes.
PALETTE = (*OKABE_ITO, "#FFCBEE", "#793449", "#A10006", "#8E75FF", "#12EFA7")
DARK_PALETTE = (  # the same classes in the dark theme
    *("#6E88B7", "#FFCF03", "#44AB85", "#E67642", "#976684", "#48BDFF", "#FBFF99"),
    *("#E09FBF", "#C12E54", "#D2140C", "#7B53DB", "#26FFCD"),
)
FILL_CONTRAST = 3.0  # of graphics on their background, WCAG 2.2
MAX_COLORED_CLASSES = len(PALETTE)  # more colors cannot be distinguished


def class_colors(classes: Sequence[str], chosen: Sequence[str] | None = None) -> dict[str, str]:
    """Assign a color to every class, by its index in the list of classes.

    Args:
        classes: All classes of the data set, in their order.
        chosen: With more than twelve classes only these are colored and the rest is gray; by default the first twelve.
            Where two chosen classes share a palette entry, the later one takes the next free entry.

    Returns:
        The color of each class as #RRGGBB.
    """
    if len(classes) <= MAX_COLORED_CLASSES:
        return dict(zip(classes, PALETTE, strict=False))
    colored = set(classes[:MAX_COLORED_CLASSES] if chosen is None else chosen)
    colors: dict[str, str] = {}
    for index, label in enumerate(classes):
        colors[label] = _free_color(index, set(colors.values())) if label in colored else GRAY
    return colors


def theme_colors(fill: Sequence[str] = PALETTE, dark_fill: Sequence[str] = DARK_PALETTE) -> dict[str, list[str]]:
    """The colors of the pages.

    Args:
        fill: Colors of filled areas in the light theme as #RRGGBB.
        dark_fill: The same in the dark theme.

    Returns:
        `fill` and `dark_fill`, and as `light` and `dark` those of lines and text in the two themes.
    """
    return {
        "fill": list(fill),
        "dark_fill": list(dark_fill),
        "light": [darken(color) for color in fill],
        "dark": [lighten(color) for color in dark_fill],
    }


def mix(color: str, other: str, share: float) -> str:
    """`color` with a share (0 to 1) of `other`; both and the result as #RRGGBB."""
    pairs = zip(_channels(color), _channels(other), strict=True)
    return "#" + "".join(f"{round((1 - share) * a + share * b):02X}" for a, b in pairs)


def darken(color: str, contrast: float = 4.5) -> str:
    """The color, darkened until it has a WCAG contrast ratio on white: 4.5 for text, 3 for lines."""
    darker = (mix(color, BLACK, step / 20) for step in range(21))
    return next(c for c in darker if 1.05 / (luminance(c) + 0.05) >= contrast)


def lighten(color: str, contrast: float = 4.5) -> str:
    """The color, lightened until it has a WCAG contrast ratio on the background of the dark theme."""
    lighter = (mix(color, WHITE, step / 20) for step in range(21))
    return next(c for c in lighter if (luminance(c) + 0.05) / (luminance(DARK_BACKGROUND) + 0.05) >= contrast)


def text_color_on(background: str) -> str:
    """White or dark text, whichever has more contrast on the background."""
    light = luminance(background) + 0.05
    return WHITE if 1.05 / light >= light / (luminance(DARK_TEXT) + 0.05) else DARK_TEXT


def luminance(color: str) -> float:
    """Relative luminance after WCAG 2, 0 (black) to 1 (white)."""
    shares = (channel / 255 for channel in _channels(color))
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(color: str) -> tuple[int, ...]:
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def _free_color(index: int, used: set[str]) -> str:
    """The palette's color at this index or the next free one; the one at the index when all are used."""
    candidates = [PALETTE[(index + step) % len(PALETTE)] for step in range(len(PALETTE))]
    return next((color for color in candidates if color not in used), candidates[0])
