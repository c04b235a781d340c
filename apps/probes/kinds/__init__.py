"""One module per kind. A kind probes and judges; it knows its deadline, but no schedule and no database."""
