"""Celery tasks and the ingest consumer, one per step of the data flow. No models, no decisions."""
