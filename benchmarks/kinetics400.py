"""What the built-in model shows in real clips, and in a video stitched of four of them.

Needs the weights that `wtal weights` fetches, and the public clips in WTAL_SHARED.
"""

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import shared_path
from wtal.core.text import markdown_table
from wtal.inference.calibration import load_segment_filter
from wtal.inference.kinetics400 import open_kinetics400
from wtal.inference.localizer import Localizer

# What a person sees in the clip, and the class of Kinetics for it, if there is one.
EXPECTED = {
    "R6llTwEh07w.mp4": ("rides a Segway all the time", "using segway"),
    "SOX5yA1l24A.mp4": ("rides a Segway until about 5 s, then loads it into a car", "using segway"),
    "WUzgd7C1pWA.mp4": ("a crowd, two Segways from about 2 to 8 s, a crowd", "using segway"),
    "basketball.mp4": ("runs up and dunks a basketball", "dunking basketball"),
    "hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi": ("turns cartwheels", "cartwheeling"),
    "plastering_activitynet.avi": ("plasters a brick wall", "plastering"),
    "v_CricketShot_g04_c01_rgb.gif": ("hits a ball at cricket", "playing cricket"),
    "v_SoccerJuggling_g23_c01.avi": ("juggles a ball", "juggling soccer ball"),
    "v_SoccerJuggling_g24_c01.avi": ("juggles a ball", "juggling soccer ball"),
    "RATRACE_wave_f_nm_np1_fr_goo_37.avi": ("waves", ""),
    "SchoolRulesHowTheyHelpUs_wave_f_nm_np1_ba_med_0.avi": ("waves", ""),
    "TrumanShow_wave_f_nm_np1_fr_med_26.avi": ("waves", ""),
}
STITCHED = (
    "v_SoccerJuggling_g23_c01.avi",
    "v_CricketShot_g04_c01_rgb.gif",
    "R6llTwEh07w.mp4",
    "hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi",
)
FPS, WIDTH, HEIGHT = 25, 340, 256


def main() -> None:
    """Print the table of the clips, and the segments of the stitched video."""
    clips = shared_path("videos", "clips")
    model = open_kinetics400()
    localizer = Localizer(model)
    select, _ = load_segment_filter(model, "f1")

    def shown(path: Path) -> str:
        segments = select(localizer(path))
        return ", ".join(f"{s.label} {s.start:.1f} to {s.end:.1f} s ({s.confidence:.2f})" for s in segments)

    rows = [
        (f"`{name[:24]}`", description, label or "none", text, _verdict(label, text))
        for name, (description, label) in EXPECTED.items()
        for text in [shown(clips / name)]
    ]
    header = ["clip", "what happens", "class of Kinetics", "shown", "class shown"]
    print("\n".join(markdown_table(header, rows)), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stitched.mp4"
        ends = _stitch(clips, path)
        text = shown(path)
    starts = [0.0, *ends[:-1]]
    truth = (f"{EXPECTED[name][1]} {a:.1f} to {b:.1f} s" for name, a, b in zip(STITCHED, starts, ends, strict=True))
    print(f"\nStitched: {', '.join(truth)}.\n\nShown: {text}.")


def _verdict(label: str, text: str) -> str:
    return "-" if not label else "yes" if label in text else "no"


def _stitch(clips: Path, path: Path) -> list[float]:
    """Write the clips one after the other, at one size and rate. Returns the end of each in seconds."""
    ends, count = [], 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for name in STITCHED:
            for image in _frames(clips / name):
                frame = av.VideoFrame.from_ndarray(image, "rgb24")
                frame.pts, frame.time_base, count = count, Fraction(1, FPS), count + 1
                container.mux(stream.encode(frame))
            ends.append(count / FPS)
        container.mux(stream.encode())
    return ends


def _frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    """The frames of a clip, `FPS` a second by presentation time."""
    with av.open(str(path), metadata_errors="replace") as container:
        count = 0
        for frame in container.decode(video=0):
            image = frame.to_ndarray(format="rgb24", width=WIDTH, height=HEIGHT)
            while count <= (frame.time or 0.0) * FPS:
                yield image
                count += 1
