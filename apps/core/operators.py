"""Which admin site Django uses. Apart from `apps.py`: an app's own module may hold one default configuration."""

from django.contrib.admin.apps import AdminConfig


class OperatorsConfig(AdminConfig):
    default_site = "apps.core.admin.OperatorsSite"
