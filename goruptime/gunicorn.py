"""How the web server runs: one process of threads, started before the fork to share memory."""

import gc

from django.conf import settings
from django.urls import get_resolver
from django.utils.module_loading import import_string

from apps.core.timed_postgres.patience import be_patient
from goruptime.settings.env import STATEMENT_TIMEOUT_S

worker_class = "gthread"
threads = settings.WEB_THREADS
timeout = 60
graceful_timeout = 10
keepalive = 5
limit_request_line = 8190
accesslog = None
loglevel = "warning"
control_socket_disable = True


def post_worker_init(worker: object) -> None:
    """Pings reach us from here on. What is loaded stays: to walk through it again at every full collection stopped all answers
    for a tenth of a second.
    """
    get_resolver().url_patterns  # noqa: B018  # loads every view
    gc.collect()
    gc.freeze()
    be_patient(STATEMENT_TIMEOUT_S + 1)
    import_string("apps.api.pings.stay_heard")()  # models can be loaded only now
