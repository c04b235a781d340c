"""The checks that are due, with what a probe needs to know of them."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from django.db import connection

from apps.core.crypto import DecryptionError, associated_data_of, decrypt
from apps.probes.contract import probe_options
from apps.probes.registry import PASSIVE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DueCheck:
    """What a job needs to know of a check that is due."""

    id: uuid.UUID
    revision: int
    slot: int
    kind: str
    target: str
    options: dict[str, Any]
    secrets: dict[str, Any]
    timeout_ms: int
    retries: int
    region_ids: tuple[int, ...]
    tenant: str
    """Shortened organization id, by which workers share their capacity fairly among tenants."""


_COLUMNS = (
    "id, revision, {slot}, kind, target, options::text, secrets, timeout_s, degraded_ms, retries, region_ids, organization_id"
)
_GRID = "(%(until)s - phase_ms) / (interval_s * 1000::bigint) * (interval_s * 1000) + phase_ms"
_DUE = f"""
    SELECT {_COLUMNS.format(slot="slot")} FROM (SELECT *, {_GRID} AS slot FROM monitors_check
        WHERE deleted_at IS NULL AND NOT is_paused AND kind <> ALL (%(passive)s)) AS c
    WHERE slot > %(after)s AND slot >= since_ms
"""  # noqa: S608  # built of the literals above


def due_checks(*, after_ms: int, until_ms: int) -> list[DueCheck]:
    """Return every active check that has a regular slot in (after, until], with the last such slot, in one scan."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"after": after_ms, "until": until_ms, "passive": list(PASSIVE)})
        return [due for row in cursor.fetchall() if (due := _due(row)) is not None]


def due_now(*, check_id: uuid.UUID, revision: int, slot: int) -> DueCheck | None:
    """Return one extra slot of a check, or None if the check has changed since."""
    statement = f"SELECT {_COLUMNS.format(slot='%(slot)s::bigint')} FROM monitors_check WHERE id = %(id)s AND revision = %(revision)s AND deleted_at IS NULL AND NOT is_paused"  # noqa: S608, E501  # built of the literal above
    with connection.cursor() as cursor:
        cursor.execute(statement, {"slot": slot, "id": check_id, "revision": revision})
        row = cursor.fetchone()
    return _due(row) if row else None


def tenant_of(organization_id: uuid.UUID) -> str:
    """Return the tenant's name in jobs."""
    return organization_id.hex[:8]


def _due(row: Sequence[Any]) -> DueCheck | None:
    """Build a due check from its columns. None if its secrets cannot be decrypted: only that check is skipped."""
    check_id, revision, slot, kind, target, options, secrets, timeout_s, degraded_ms, retries, regions, organization = row
    try:
        opened = (
            {}
            if secrets is None
            else json.loads(decrypt(secrets, place=associated_data_of("monitors_check", "secrets", check_id)))
        )
    except DecryptionError as error:
        log.error("check %s is not run: %s", check_id, error)
        return None
    return DueCheck(
        check_id,
        revision,
        slot,
        kind,
        target,
        probe_options(msgspec.json.decode(options), degraded_ms),
        opened,
        timeout_s * 1000,
        retries,
        tuple(regions),
        tenant_of(organization),
    )
