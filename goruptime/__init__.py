"""Wiring only: settings, URLs, the Celery app, WSGI and ASGI. No code of the product."""

from goruptime.celery import app as celery_app

__all__ = ["celery_app"]
