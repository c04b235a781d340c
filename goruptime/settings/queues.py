"""The core's Celery settings: queues, routes, and timeouts for a broker that is slow or unavailable."""

from __future__ import annotations

from django.conf import settings
from kombu import Queue

QUEUES = ("tick", "core", "notify", "upkeep")
ROUTES = {
    "pipeline.tick": {"queue": "tick"},
    "pipeline.dispatch_extra": {"queue": "tick"},  # as urgent: an extra slot is due now
    "pipeline.dispatch_trial": {"queue": "tick"},  # a user is waiting for it
    "pipeline.deliver": {"queue": "notify"},
    "pipeline.send_password_reset": {"queue": "notify"},
    "pipeline.send_confirmation": {"queue": "notify"},
    # These may take minutes: a sweep queued behind them would report an outage too late.
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
task_acks_late = False  # a sweep finds the work that a killed worker had taken
worker_prefetch_multiplier = 1
worker_enable_remote_control = False
worker_send_task_events = False
worker_hijack_root_logger = False
worker_cancel_long_running_tasks_on_connection_loss = True  # only late-acknowledged tasks: there are none
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
"""Keeps Celery from closing the database connection after each task; `TimedTask` applies CONN_MAX_AGE instead."""
beat_max_loop_interval = 1
beat_sync_every = 0
enable_utc = True
timezone = "UTC"
