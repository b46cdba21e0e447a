"""Speed and memory, one small script a topic; `make bench` runs them all and writes RESULTS.md."""
