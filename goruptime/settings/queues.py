"""The core's Celery settings: queues, routes, and what a broker that is slow or away may cost us."""

from __future__ import annotations

from django.conf import settings
from kombu import Queue

QUEUES = ("tick", "core", "notify", "upkeep")
ROUTES = {
    "pipeline.tick": {"queue": "tick"},
    "pipeline.dispatch_extra": {"queue": "tick"},  # as urgent: an extra slot is now
    "pipeline.dispatch_trial": {"queue": "tick"},  # somebody waits for it
    "pipeline.deliver": {"queue": "notify"},
    "pipeline.send_password_reset": {"queue": "notify"},
    "pipeline.send_confirmation": {"queue": "notify"},
    # They may take minutes: a sweep that waits for them would tell of an outage too late.
    "pipeline.make_partitions": {"queue": "upkeep"},
    "pipeline.roll_up": {"queue": "upkeep"},
    "pipeline.pack_runs": {"queue": "upkeep"},
    "pipeline.drop_old_runs": {"queue": "upkeep"},
}

broker_url = settings.BROKER_URL
task_queues = [Queue(name, routing_key=name, durable=True) for name in QUEUES]
task_default_queue = "core"
task_routes = ROUTES
task_serializer = "json"
accept_content = ["json"]
task_ignore_result = True
task_acks_late = False  # a sweep finds what a killed worker held
worker_prefetch_multiplier = 1
worker_enable_remote_control = False
worker_send_task_events = False
worker_hijack_root_logger = False
worker_cancel_long_running_tasks_on_connection_loss = True  # of late-acknowledged ones, and there are none
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
broker_connection_timeout = 3
broker_transport_options = {
    "visibility_timeout": 60,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": 10,
    "socket_connect_timeout": 3,
    "socket_timeout": 10,
    "socket_keepalive": True,
}
CELERY_DB_REUSE_MAX = 2**30
"""Celery would close a task's database connection at its end; `TimedTask` keeps it by Django's own rule."""
beat_max_loop_interval = 1
beat_sync_every = 0
enable_utc = True
timezone = "UTC"
