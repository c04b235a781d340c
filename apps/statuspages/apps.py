from django.apps import AppConfig


class StatuspagesConfig(AppConfig):
    name = "apps.statuspages"
    label = "statuspages"
