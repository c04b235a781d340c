"""The AppConfig that makes `OperatorsSite` the default admin site.

It is not in `apps.py`, because an `apps.py` may define only one default AppConfig.
"""

from django.contrib.admin.apps import AdminConfig


class OperatorsConfig(AdminConfig):
    default_site = "apps.core.admin.OperatorsSite"
