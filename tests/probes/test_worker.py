"""Settings that a probe worker reads from its environment; an error names the variable that is missing or invalid."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.probes.worker import Settings, SettingsError

GIVEN = {"GORUPTIME_BROKER_URL": "redis://broker/0", "GORUPTIME_REGION": "eu", "GORUPTIME_REGION_KEY": "key"}


def test_secrets_may_be_files(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from the file\n")
    settings = Settings.read({**GIVEN, "GORUPTIME_REGION_KEY_FILE": str(file)})
    assert (settings.broker_url, settings.region, settings.region_key) == ("redis://broker/0", "eu", "from the file")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"GORUPTIME_REGION_KEY": ""}, "GORUPTIME_REGION_KEY is not set"),
        ({"GORUPTIME_REGION_KEY_FILE": "/nowhere/key"}, "GORUPTIME_REGION_KEY_FILE cannot be read"),
        ({"GORUPTIME_PRIVATE_TARGETS": "maybe"}, "must be allowed or refused"),
        ({"GORUPTIME_PROBE_CONCURRENCY": "many"}, "many"),
        ({"GORUPTIME_CANARIES": "http://"}, "http"),
    ],
)
def test_what_is_missing_or_wrong_is_said(change: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings.read({**GIVEN, **change})
