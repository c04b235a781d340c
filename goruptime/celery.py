"""The core's Celery app. Probe workers have one of their own, `apps.probes.worker`."""

from __future__ import annotations

import os
import warnings

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging
from click import Option

from apps.probes.redis_transport import use_shared_clients

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "goruptime.settings")

# Celery warns at every start as root, because of pickle, which is not accepted here.
warnings.filterwarnings("ignore", category=SecurityWarning)

use_shared_clients()
app = Celery("goruptime", task_cls="apps.pipeline.timed:TimedTask")
app.steps["worker"].update(("apps.pipeline.timed:Turning", "apps.pipeline.beat:EmbeddedBeat"))
app.user_options["worker"].add(Option(("--with-beat",), is_flag=True, help="Be the beat, too."))
app.config_from_object("goruptime.settings.queues")
app.autodiscover_tasks(["apps.pipeline"])


@setup_logging.connect(weak=False)
def _keep_djangos_logging(**_kwargs: object) -> None:
    """Do nothing: a receiver of `setup_logging` keeps Celery from configuring logging."""
