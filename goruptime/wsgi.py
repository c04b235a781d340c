"""WSGI entry point."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from apps.api.ping_door import PingDoor
from apps.core.public_answers import PublicAnswers
from apps.core.shedding import Shedding

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "goruptime.settings")

django = PingDoor(get_wsgi_application())
shedding = Shedding(django, threads=settings.WEB_THREADS, passing=("/status/", "/healthz", "/readyz"))
application = PublicAnswers(shedding, prefix="/status/")
