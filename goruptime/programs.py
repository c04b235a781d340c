"""The modules that our programs share, imported once by the supervisor before it forks
(`apps/core/embedded/forks.py`).

No task modules: Celery would register their tasks in the probe worker's app too.
"""

import celery.apps.beat
import celery.apps.worker
import celery.bin.celery
import celery.concurrency.thread
import celery.worker.consumer
import django
import kombu.transport.redis

import apps.probes.engine

django.setup()

import apps.core.web_server.server
import apps.ingress.ping_handler
import apps.pipeline.beat
import apps.pipeline.consumer
import apps.pipeline.dispatch
import goruptime.urls
import goruptime.wsgi
