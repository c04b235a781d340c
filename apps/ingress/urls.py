"""The URLs below `/ping/`. In production the web server's fast handler answers them before Django."""

from django.urls import path

from apps.ingress.pings import ping_page

urlpatterns = [path("<path:path>", ping_page, name="ping")]
