"""Write synthetic features for the annotations of a real benchmark, to test `wtal benchmark` before its features exist.

python -m benchmarks.rehearse ANNOTATIONS OUT [OPTIONS]
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from wtal.core.errors import WtalError
from wtal.data.synthetic.benchmark import SignalConfig, write_synthetic_benchmark
from wtal.data.synthetic.layout_writers import WRITERS
from wtal.reporting.progress import count_progress


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.rehearse", description="Write synthetic features for the annotations of a real benchmark."
    )
    parser.add_argument("annotations", type=Path, help="ActivityNet JSON, THUMOS text files or W-TALC arrays")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--layout", default="plain", help=f"{', '.join(WRITERS)} (default: plain)")
    parser.add_argument("--strength", type=float, default=1.0, help="strength of actions, 0 for none (default: 1)")
    parser.add_argument("--context", type=float, default=1.0, help="strength of scenes that classes share (default: 1)")
    parser.add_argument("--width", type=int, default=1024, help="width of RGB, and of flow (default: 1024)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the features (default: 0)")
    parser.add_argument("--share", type=float, default=1.0, help="share of each subset to keep (default: 1)")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    try:
        signal = SignalConfig(options.strength, options.context, options.width, options.seed)
        with count_progress("writing", Console()) as progress:
            videos = write_synthetic_benchmark(
                options.annotations, options.out, options.layout, signal, options.share, progress
            )
    except WtalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.layout}: {len(videos)} videos with synthetic features written to {options.out}")
    if options.layout == "opentad":
        print("this layout does not store times: convert it with --stride 16 --window 16 --fps 25")
    return 0


if __name__ == "__main__":
    sys.exit(main())
