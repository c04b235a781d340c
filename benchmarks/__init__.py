"""Benchmarks of the real processes. Each prints its figures as one JSON object, some of them after a table."""
