"""The benchmarks of the field: from public features to our table and a report, by one command."""
