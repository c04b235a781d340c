"""One module a kind. A kind looks and judges; it knows no clock but its deadline, no schedule and no database."""
