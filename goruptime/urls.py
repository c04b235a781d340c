"""The root URL configuration."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("apps.dashboard.urls")),
    path("", include("apps.statuspages.urls")),
    path("", include("apps.core.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("apps.api.urls")),
    path("ping/", include("apps.ingress.urls")),
]

handler400 = "apps.api.error_responses.bad_request"
handler403 = "apps.api.error_responses.permission_denied"
handler404 = "apps.api.error_responses.not_found"
handler500 = "apps.api.error_responses.server_error"
