"""Which colour a class has: the same one in every picture of a run, told apart also by the colour-blind."""

from collections.abc import Sequence

OKABE_ITO = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
)  # its black is for text
GREY = "#9CA3AF"
DARK = "#15181C"  # the paper of pages in the dark
COLOURED = 10  # with more classes than this, colour cannot tell them all apart


def class_colours(classes: Sequence[str], chosen: Sequence[str] | None = None) -> dict[str, str]:
    """The colour (#RRGGBB) of every class, by its place in the list of classes.

    With more than ten classes only the `chosen` ones (without a choice: the first ten) are coloured, the rest
    grey; where two chosen classes fall on one colour, the later one takes the next that is free.
    """
    if len(classes) <= COLOURED:
        return {label: PALETTE[place] for place, label in enumerate(classes)}
    wanted = set(classes[:COLOURED] if chosen is None else chosen)
    colours: dict[str, str] = {}
    for place, label in enumerate(classes):
        colours[label] = _free(place, set(colours.values())) if label in wanted else GREY
    return colours


def mix(colour: str, other: str, share: float) -> str:
    """`colour` with a share (0 to 1) of `other`; both and the result #RRGGBB."""
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round((1 - share) * a + share * b):02X}" for a, b in pairs)


def ink(colour: str, contrast: float = 4.5) -> str:
    """The colour, darkened until words of it on white can be read (a WCAG contrast ratio; 3 for a line)."""
    for step in range(20):
        darker = mix(colour, "#000000", step / 20)
        if 1.05 / (luminance(darker) + 0.05) >= contrast:
            return darker
    return "#000000"


def lit(colour: str, contrast: float = 4.5) -> str:
    """The colour, lightened until words of it in the dark can be read (a WCAG contrast ratio)."""
    steps = (mix(colour, "#FFFFFF", step / 20) for step in range(21))
    return next(c for c in steps if (luminance(c) + 0.05) / (luminance(DARK) + 0.05) >= contrast)


def text_on(colour: str) -> str:
    """White, or nearly black: whichever reads better on the colour."""
    light = luminance(colour) + 0.05
    return "#FFFFFF" if 1.05 / light >= light / (luminance("#111827") + 0.05) else "#111827"


def luminance(colour: str) -> float:
    """Relative luminance after WCAG 2, 0 (black) to 1 (white)."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in _shares(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def _shares(colour: str) -> tuple[float, ...]:
    return tuple(channel / 255 for channel in _channels(colour))


def _free(place: int, taken: set[str]) -> str:
    """The palette's colour at this place, or the next one that nobody has; when all are taken, its own."""
    turned = [PALETTE[(place + step) % len(PALETTE)] for step in range(len(PALETTE))]
    return next((colour for colour in turned if colour not in taken), turned[0])


# Darker steps before lighter ones: a light blue is too near to Okabe-Ito's sky blue to come early.
PALETTE = (
    *OKABE_ITO,
    *(mix(colour, "#000000", 0.45) for colour in OKABE_ITO),
    *(mix(colour, "#FFFFFF", 0.55) for colour in OKABE_ITO),
)
