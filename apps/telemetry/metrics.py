"""The Prometheus metrics of all processes; each process exposes those that it updates."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_MILLISECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_SIZES = (1, 5, 10, 25, 50, 100, 200, 400)

CHECKS_PROCESSED = Counter("checks_processed", "Runs that ended.", ["kind", "verdict"])
CHECKS_FAILED = Counter("checks_failed", "Runs that ended down, by reason.", ["kind", "reason"])
LATENESS = Histogram("check_lateness_seconds", "A run's start after its slot.", buckets=_MILLISECONDS)
IN_FLIGHT = Gauge("checks_in_flight", "Runs under way.")
LOOP_LAG = Gauge("probe_loop_lag_seconds", "How late the probe loop's last beat was.")
SLOTS_DROPPED = Counter("slots_dropped", "Slots that a worker gave up.", ["why"])
SLOTS_SENT = Counter("slots_sent", "Slots sent to regions.", ["region"])
BATCH_SIZE = Histogram("results_batch_size", "Rows in a message of results, as it is taken.", buckets=_SIZES)
RUNS_RECORDED = Counter("runs_recorded", "Rows taken of regions.", ["region"])
DEAD_LETTERS = Counter("dead_letters", "Messages, rows and checks that could not be worked on.", ["origin"])
DELIVERIES = Counter("deliveries", "Tries of deliveries, by what came of them.", ["outcome"])
QUEUE_LAG = Gauge("worker_queue_lag_seconds", "How long the last message had been on its way.", ["queue"])
TASK_DURATION = Histogram("task_duration_seconds", "How long a task ran.", ["task"], buckets=_MILLISECONDS)
DB_QUERY_DURATION = Histogram("db_query_duration_seconds", "How long a statement took.", ["operation"], buckets=_MILLISECONDS)
