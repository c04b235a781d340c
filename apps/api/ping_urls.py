"""`/ping/…`, with and without a slash at the end: clients send both."""

from django.urls import re_path

from apps.api import pings

_ID = r"(?P<pk>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})"
_SIGNAL = r"(?P<signal>[a-z]+|[0-9]+)"

urlpatterns = [
    re_path(rf"^{_ID}/?$", pings.by_id, name="ping"),
    re_path(rf"^{_ID}/{_SIGNAL}/?$", pings.by_id, name="ping-signal"),
    re_path(r"^(?P<key>[\w-]{22})/(?P<slug>[^/]+)/?$", pings.by_slug, name="ping-slug"),
    re_path(rf"^(?P<key>[\w-]{{22}})/(?P<slug>[^/]+)/{_SIGNAL}/?$", pings.by_slug, name="ping-slug-signal"),
]
