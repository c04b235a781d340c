"""What our programs have in common, imported once by the supervisor that makes them (`apps/core/embedded/copies.py`).

No tasks: Celery would lay them into the probe worker's app, too.
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
import apps.ingress.door
import apps.pipeline.beat
import apps.pipeline.consumer
import apps.pipeline.dispatch
import goruptime.urls
import goruptime.wsgi
