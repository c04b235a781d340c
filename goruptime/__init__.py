"""Wiring only: settings, URLs, the Celery app, WSGI and ASGI. No code of the product."""
