from django.apps import AppConfig


class IngressConfig(AppConfig):
    name = "apps.ingress"
