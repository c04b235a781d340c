"""The style guide: every component in every state. Only with GORUPTIME_DEBUG."""

from __future__ import annotations

import math

from django import forms
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from apps.core.clock import DAY_MS
from apps.dashboard.access import open_page
from apps.incidents.labels import STATUSES
from apps.incidents.list_views import Beat, run_bar
from apps.results.bars import bar_of
from apps.results.uptime import Span


class _Form(forms.Form):
    plain = forms.CharField(initial="example.org", help_text="What it is for, in a sentence.")
    wrong = forms.CharField()
    choice = forms.ChoiceField(choices=[("get", "GET"), ("post", "POST")])
    long = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), initial="Authorization: ••••••")
    flag = forms.BooleanField(label="Verify the certificate", initial=True)


@open_page()
def styleguide(request: HttpRequest) -> HttpResponse:
    states = ("up", "up", "up", "degraded", "up", "down", "down", "unknown", "maintenance", "paused", "up", "up")
    beats = [
        Beat(1_700_000_000_000 + n * 60_000, states[n % 12], 80 + n, "connection refused" if states[n % 12] == "down" else "")
        for n in range(60)
    ]
    spans = [Span(day * DAY_MS, (day + 1) * DAY_MS, states[day % 12]) for day in range(20, 90)]
    form = _Form()
    wrong = _Form({"plain": "x", "wrong": "", "choice": "get", "long": "x", "flag": "on"})
    wrong.is_valid()
    context = {
        "statuses": STATUSES,
        "run_bar": run_bar(beats, [], width=60_000, count=150, phase=beats[0].slot),
        "days": bar_of(spans, start=0, width=DAY_MS, count=90),
        "form": form,
        "wrong": wrong,
        "figures": {"dns": 4.0, "connect": 11.0, "tls": 31.0, "first_byte": 72.0},
    }
    return render(request, "styleguide.html", context)


@open_page()
def sample_latency(_request: HttpRequest) -> HttpResponse:
    """Return sample data for the latency chart: a wave, a slow period, an outage and a gap."""
    moments = list(range(0, 96))
    p50 = [None if 60 <= n < 66 else 80 + 20 * math.sin(n / 12) + (60 if 30 <= n < 36 else 0) for n in moments]
    return JsonResponse(
        {
            "from": 0,
            "t": [n * 900 for n in moments],
            "p50": p50,
            "p95": [value and value * 1.6 for value in p50],
            "p99": [value and value * 2.2 for value in p50],
            "runs": [0 if value is None else 15 for value in p50],
            "bands": [
                {"from": 30 * 900_000, "to": 36 * 900_000, "state": "degraded"},
                {"from": 44 * 900_000, "to": 47 * 900_000, "state": "down"},
                {"from": 70 * 900_000, "to": 75 * 900_000, "state": "maintenance"},
            ],
        }
    )
