"""WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

from apps.api.ping_door import PingDoor
from apps.core.public_answers import PublicAnswers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "goruptime.settings")

application = PublicAnswers(PingDoor(get_wsgi_application()), prefix="/status/")
