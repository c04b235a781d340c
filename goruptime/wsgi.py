"""The WSGI entry point, and the quick door that serves kept public responses before it (`apps/core/web_server`)."""

import os

from django.core.wsgi import get_wsgi_application

from apps.core.public_answers import PublicAnswers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "goruptime.settings")

application = PublicAnswers(get_wsgi_application(), prefix="/status/")
public_answers = application.quick
