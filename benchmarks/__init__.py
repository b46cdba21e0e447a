"""Developer tools, run as `python -m benchmarks.NAME`. `benchmarks/__main__.py` lists them."""
