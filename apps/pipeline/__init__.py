"""The Celery face: one short task or consumer per arrow of the flow; no models, no decisions."""
