from django.urls import path

from apps.statuspages.views import status_json, status_page

urlpatterns = [
    path("status/<slug:slug>.json", status_json, name="status-json"),
    path("status/<slug:slug>/", status_page, name="status-page-public"),
]
