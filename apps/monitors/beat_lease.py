"""The lease that lets one of several beat processes send."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from apps.monitors.models import BeatLease

BEAT_LEASE = timedelta(seconds=5)
"""How long after a beat was killed another one takes over."""


def acquire_beat_lease(*, holder: str) -> bool:
    """Take or extend the lease; return whether this beat may send during the next seconds.

    One conditional update by the database's clock, so that only one of several beats gets it.
    """
    until = Now() + BEAT_LEASE
    taken = BeatLease.objects.filter(Q(holder=holder) | Q(until__lt=Now()), pk=1).update(holder=holder, until=until)
    if taken:
        return True
    _, is_new = BeatLease.objects.get_or_create(pk=1, defaults={"holder": holder, "until": until})
    return is_new
