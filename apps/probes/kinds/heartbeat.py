"""`heartbeat`: a job that cannot be probed, such as a backup, reports in time that it ran.

Nothing is sent: the job requests its ping URL when it starts, ends or fails, and if none arrives within the grace time
the check is down. Proves that the job reached us in time and how long it took; cannot prove that it did its work
correctly, unless it reports failures.
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
"""Nicknames of cron expressions, see crontab(5)."""
_EARLY_MS = 5_000
"""A ping up to this much before its time counts for that time, because the job's clock may be ahead of ours."""
SLUG = re.compile(r"[a-z0-9_-]{1,100}\Z")
"""Valid slugs. Ping URLs contain the project's ping key and a slug, or the check's ping secret."""


@dataclass(frozen=True)
class Options:
    """The options of a heartbeat check; implements `PassiveSchedule`."""

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
        """Return the next time of the cron expression in its time zone, or else the time one period later.

        Daylight saving time is treated as by Debian's cron. A ping up to five seconds early counts for the scheduled
        time.
        """
        if not self.cron:
            return moment_ms + (self.period_s * 1000 if self.period_s is not None else interval_ms)
        moment = (_EPOCH + timedelta(milliseconds=moment_ms + _EARLY_MS)).astimezone(ZoneInfo(self.timezone))
        return (next(CronSim(self.cron, moment)) - _EPOCH) // timedelta(milliseconds=1)


def parse(target: str, raw: Mapping[str, object]) -> Options:
    """Parse and validate; the target is a free description of the job. Raises OptionError naming the option."""
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
    """Raise OptionError for a cron expression that is invalid or never comes due."""
    if len(cron.split()) != _CRON_FIELDS:
        raise OptionError("options.cron", "is not a cron expression of five fields")
    try:
        next(CronSim(cron, _EPOCH.replace(year=2026).astimezone(ZoneInfo(zone))))
    except CronSimError as error:
        raise OptionError("options.cron", f"is not a cron expression: {error}") from error
    except StopIteration as error:
        raise OptionError("options.cron", "never comes due") from error


FIELDS = (
    OptionField("cron", "Cron expression", "text", "Like 30 2 * * * or @daily. It counts instead of the period."),
    OptionField("timezone", "Time zone of the cron expression", "text", "Like Europe/Berlin; daylight saving time is observed."),
    OptionField(
        "period_s", "Period", "whole", "For jobs that run less than daily. Empty: the check's interval.", form_field="interval_s"
    ),
    OptionField("grace_s", "Grace time", "whole", "A ping later than this counts as missed."),
    OptionField(
        "max_runtime_s", "Maximum runtime", "whole", "From its start signal to its end. Empty: as long as the grace."
    ),
    OptionField("slug", "Slug", "text", "For ping addresses by the project's ping key and a name: /ping/<ping key>/<slug>."),
    OptionField(
        "methods", "Accepted methods", "choice", "With POST only, link previews and crawlers cannot ping.",
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
