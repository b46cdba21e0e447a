"""Settings of the benchmarks, one file each, with what differs from the defaults."""
