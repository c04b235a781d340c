"""How the web server runs: one process of threads, started before the fork to share memory."""

from django.conf import settings

worker_class = "gthread"
threads = settings.WEB_THREADS
timeout = 60
graceful_timeout = 10
keepalive = 5
limit_request_line = 8190
accesslog = None
loglevel = "warning"
control_socket_disable = True
