"""`/ping/…`, as far as it comes to Django: in production the quick door answers it."""

from django.urls import path

from apps.ingress.pings import ping_page

urlpatterns = [path("<path:path>", ping_page, name="ping")]
