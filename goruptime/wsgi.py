"""WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

from apps.api.ping_door import PingDoor

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "goruptime.settings")

application = PingDoor(get_wsgi_application())
