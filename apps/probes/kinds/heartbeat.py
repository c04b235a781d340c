"""`heartbeat`: a job that nobody can ask, like a backup, says itself that it ran.

Nothing is sent: the job asks for its ping address when it begins, ends or fails, and silence beyond the grace is the failure.
Proves that the job reached us in time and how long it took; cannot prove that what it did is right, unless it says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from apps.probes.contract import Kind, OptionError, OptionField, RawOptions, stored_fields

_YEAR_S = 365 * 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTE_LIMIT = 2_000
_CRON_FIELDS = 5
_CRON_WORDS = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}  # fmt: skip
"""See crontab(5)."""
_EARLY_MS = 5_000
"""So much before its time a job may report: its clock is not ours, and a run that began early ends early."""
SLUG = re.compile(r"[a-z0-9_-]{1,100}\Z")
"""What stands in a ping address instead of the check's id."""


@dataclass(frozen=True)
class Options:
    note: str
    period_s: int | None
    cron: str
    timezone: str
    grace_s: int
    max_runtime_s: int | None
    slug: str
    methods: str
    degraded_ms: int | None

    @property
    def host(self) -> str:
        return ""

    def stored(self) -> dict[str, object]:
        return stored_fields(self, without=("note", "degraded_ms"))

    @property
    def grace_ms(self) -> int:
        return self.grace_s * 1000

    @property
    def max_runtime_ms(self) -> int:
        return (self.max_runtime_s or self.grace_s) * 1000

    def expected_after(self, moment_ms: int, interval_ms: int) -> int:
        """The next time of the cron expression in its zone, as Debian's cron takes summer time; or a period later.

        A moment up to five seconds before a time of the expression counts as that time.
        """
        if not self.cron:
            return moment_ms + (self.period_s * 1000 if self.period_s is not None else interval_ms)
        moment = (_EPOCH + timedelta(milliseconds=moment_ms + _EARLY_MS)).astimezone(ZoneInfo(self.timezone))
        return (next(CronSim(self.cron, moment)) - _EPOCH) // timedelta(milliseconds=1)


def parse(target: str, raw: Mapping[str, object]) -> Options:
    """The target is whatever people note of the job. Raises OptionError naming the option."""
    fields = RawOptions(raw)
    if len(target) > _NOTE_LIMIT:
        raise OptionError("target", f"is longer than {_NOTE_LIMIT} characters")
    written, zone = fields.text("cron", limit=200).strip(), fields.text("timezone", "UTC", limit=60) or "UTC"
    cron = _CRON_WORDS.get(written.lower(), written)
    period_s = fields.whole("period_s", None, least=5, most=_YEAR_S)
    if cron and period_s is not None:
        raise OptionError("options.period_s", "cannot be given beside a cron expression")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise OptionError("options.timezone", f"{zone!r} is not a time zone like Europe/Berlin") from error
    if cron:
        _judge_cron(cron, zone)
    slug = fields.text("slug", limit=100)
    if slug and not SLUG.match(slug):
        raise OptionError("options.slug", "may hold a-z, 0-9, - and _ only")
    options = Options(
        note=target,
        period_s=period_s,
        cron=cron,
        timezone=zone,
        grace_s=fields.whole("grace_s", 60, least=1, most=_YEAR_S) or 60,
        max_runtime_s=fields.whole("max_runtime_s", None, least=1, most=_YEAR_S),
        slug=slug,
        methods=fields.choice("methods", "any", ("any", "post")),
        degraded_ms=fields.whole("degraded_ms", None, least=1, most=86_400_000),
    )
    fields.end()
    return options


def _judge_cron(cron: str, zone: str) -> None:
    """Raises OptionError for what never comes due, too."""
    if len(cron.split()) != _CRON_FIELDS:
        raise OptionError("options.cron", "is not a cron expression of five fields")
    try:
        next(CronSim(cron, _EPOCH.replace(year=2026).astimezone(ZoneInfo(zone))))
    except CronSimError as error:
        raise OptionError("options.cron", f"is not a cron expression: {error}") from error
    except StopIteration as error:
        raise OptionError("options.cron", "never comes due") from error


FIELDS = (
    OptionField("cron", "Cron expression", "text", "Like 30 2 * * *, or @daily. Empty: every period."),
    OptionField("timezone", "Time zone of the cron expression", "text", "Like Europe/Berlin; summer time is minded."),
    OptionField("period_s", "Period (seconds)", "whole", "For jobs that run less than daily. Empty: the check's interval."),
    OptionField("grace_s", "Grace (seconds)", "whole", "A ping that is later than this is missed."),
    OptionField(
        "max_runtime_s", "Longest run (seconds)", "whole", "From its start signal to its end. Empty: as long as the grace."
    ),
    OptionField("slug", "Slug", "text", "For ping addresses by the project's ping key and a name: /ping/<ping key>/<slug>."),
    OptionField(
        "methods", "Pings by", "choice", "POST only keeps link previews and crawlers from pinging.",
        (("any", "GET, HEAD and POST"), ("post", "POST only")),
    ),
)  # fmt: skip

KIND = Kind(
    name="heartbeat",
    title="Heartbeat",
    parse=parse,
    run=None,
    asks="What sends the pings",
    proves="A job that runs by itself says in time that it ran, and how long it took.",
    propose=lambda _typed: None,
    example=("restic on db1", {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "grace_s": 900, "max_runtime_s": 7_200}),
    option_fields=FIELDS,
)
