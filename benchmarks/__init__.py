"""Developer tools: `python -m benchmarks --help` lists them, `python -m benchmarks NAME` runs one."""

import sys

# `python -m benchmarks.NAME` would import the module of the tool, do nothing and report success.
if "-m" in sys.orig_argv:
    _package, _, _name = sys.orig_argv[sys.orig_argv.index("-m") + 1].partition(".")
    if _package == "benchmarks" and _name not in ("", "__main__"):
        print(f"error: run this tool as python -m benchmarks {_name}", file=sys.stderr)
        raise SystemExit(2)
