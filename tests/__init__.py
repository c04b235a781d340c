"""The test suite. It mirrors `apps/` and starts a PostgreSQL and a Valkey of its own (`tests/engines.py`)."""
