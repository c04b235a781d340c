"""Sends due checks as batches of jobs to the regions' queues. `apps.probes.wire` defines the message format."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from celery import current_app
from django.db import transaction
from django.utils import timezone
from kombu import Queue

from apps.core.clock import to_ms
from apps.monitors.dispatch_cursor import advance_cursor
from apps.monitors.due_checks import DueCheck, due_checks, tenant_of
from apps.monitors.models import Region
from apps.monitors.selectors import regions_heard_recently
from apps.probes import wire
from apps.probes.registry import KINDS
from apps.results.baselines import baselines
from apps.results.models import Trial
from apps.telemetry import metrics

log = logging.getLogger(__name__)

_WAITING_TICKS = 15
_backed_up: set[str] = set()
"""Regions for which this process has logged a warning."""
_sent_lately: dict[str, float] = {}
"""Recent jobs per tick by region, a decaying maximum: extra slots are judged by the same bound as ticks."""
_declared_at: dict[str, float] = {}
"""When this process last declared each region's queue (monotonic seconds)."""
_DECLARE_EVERY_S = 60.0


def send_due(*, now: datetime) -> int:
    """Run one tick: commit the cursor, then publish. Return the number of jobs sent.

    A crash between the two leaves slots unknown; none is sent twice.
    """
    with transaction.atomic():
        after, until = advance_cursor(now=now)
        due = due_checks(after_ms=after, until_ms=until)
    return send(due, now_ms=to_ms(now))


def send(due: Sequence[DueCheck], *, now_ms: int) -> int:
    """Publish the jobs to every region heard from lately; return their number.

    An empty batch is sent as well, because it tells workers the core's time.
    """
    by_region: dict[int, list[DueCheck]] = defaultdict(list)
    for check in sorted(due, key=lambda check: check.slot):
        for region_id in check.region_ids:
            by_region[region_id].append(check)
    known = baselines(check_ids=[check.id for check in due if check.options.get("notice_change")])
    sent = 0
    with current_app.producer_pool.acquire(block=True, timeout=5) as producer:
        regions = list(Region.objects.probing())
        _declare_queues(producer, regions)
        for region in regions_heard_recently(regions, now_ms=now_ms):
            jobs = [_job(check, region, known.get((check.id, check.revision, region.id))) for check in by_region[region.id]]
            if _is_backed_up(producer, region, len(jobs)):
                continue
            for batch in _batches(jobs):
                _publish(batch, region, producer)
                sent += len(batch)
            metrics.SLOTS_SENT.labels(region.slug).inc(len(jobs))
    return sent


def send_trial(trial: Trial, *, now_ms: int) -> int:
    """Send a trial's job to each of its regions heard from lately; return the number of regions."""
    regions = regions_heard_recently(Region.objects.probing().filter(pk__in=trial.region_ids), now_ms=now_ms)
    secret_names = KINDS[trial.kind].secret_options
    for region in regions:
        secrets = {name: value for name, value in trial.options.items() if name in secret_names and value}
        job = wire.Job(
            check="",
            revision=0,
            slot=0,
            kind=trial.kind,
            target=trial.target,
            options={name: value for name, value in trial.options.items() if name not in secret_names},
            timeout_ms=trial.timeout_s * 1000,
            trial=str(trial.id),
            retries=trial.retries,
            tenant=tenant_of(trial.organization_id),
        )
        encoded = wire.encode_job(job, secrets=secrets, region_key=region.key, region=region.slug)
        _publish([encoded], region, None)
    return len(regions)


def _publish(batch: list[dict[str, Any]], region: Region, producer: Any) -> None:
    current_app.send_task(
        wire.TASK,
        kwargs=wire.batch_arguments(batch, sent_at=to_ms(timezone.now())),
        queue=_queue(region.slug),  # type: ignore[arg-type]  # the stub knows names only
        producer=producer,
        ignore_result=True,
        argsrepr="",  # not the display strings that Celery would build: a fifth of the tick
        kwargsrepr="",
        # No Celery `expires`: the worker would judge it by its own clock, which may be off. It judges `sent_at`.
        expiration=wire.EXPIRES_MS / 1000,
        retry=True,  # a batch that arrives twice is run once
        retry_policy={"max_retries": 1, "interval_start": 0.05},
    )


def _declare_queues(producer: Any, regions: Sequence[Region]) -> None:
    """Declare the queues of new regions: workers may not, and they report before anything is sent to them.

    All queues are declared again each minute, because the broker may have lost them.
    """
    now = time.monotonic()
    for slug in {region.slug for region in regions}:
        if now - _declared_at.get(slug, -_DECLARE_EVERY_S) >= _DECLARE_EVERY_S:
            producer.channel.queue_declare(queue=wire.queue_of(slug), durable=True, exclusive=False, auto_delete=False)
            _declared_at[slug] = now


def _is_backed_up(producer: Any, region: Region, jobs: int) -> bool:
    """Return whether nobody reads the region's queue.

    Redis does not expire messages, so that jobs of a dead region would fill it.
    """
    try:
        waiting = producer.channel.queue_declare(queue=wire.queue_of(region.slug), passive=True).message_count
    except producer.connection.channel_errors:
        return False  # there is no queue yet: the first message makes it
    lately = _sent_lately[region.slug] = max(jobs, 0.9 * _sent_lately.get(region.slug, 0.0))
    is_full = bool(waiting > _WAITING_TICKS * (1 + lately // wire.MAX_JOBS))
    if is_full and region.slug not in _backed_up:
        _backed_up.add(region.slug)
        log.warning("region %s does not take its jobs: %d batches wait, no more are sent", region.slug, waiting)
    elif not is_full and region.slug in _backed_up:
        _backed_up.discard(region.slug)
        log.info("region %s takes its jobs again", region.slug)
    return is_full


def _batches(jobs: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    yield jobs[: wire.MAX_JOBS]
    for start in range(wire.MAX_JOBS, len(jobs), wire.MAX_JOBS):
        yield jobs[start : start + wire.MAX_JOBS]


def _job(check: DueCheck, region: Region, baseline: dict[str, Any] | None) -> dict[str, Any]:
    job = wire.Job(
        check=str(check.id),
        revision=check.revision,
        slot=check.slot,
        kind=check.kind,
        target=check.target,
        options=check.options,
        timeout_ms=check.timeout_ms,
        baseline=baseline,
        retries=check.retries,
        tenant=check.tenant,
    )
    return wire.encode_job(job, secrets=check.secrets, region_key=region.key, region=region.slug)


@lru_cache(maxsize=1024)
def _queue(slug: str) -> Queue:
    name = wire.queue_of(slug)
    return Queue(name, routing_key=name, durable=True)
