"""The WSGI entry point, and the fast handler that serves kept public responses before it (`apps/core/web_server`)."""

import os

from django.core.wsgi import get_wsgi_application

from apps.core.public_responses import PublicResponseCache

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "goruptime.settings")

application = PublicResponseCache(get_wsgi_application(), prefix="/status/")
public_answers = application.quick
