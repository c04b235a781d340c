"""Run `manage.py check --deploy` with the settings of a production installation: servers of its own, HTTPS in front."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    environment = {
        **os.environ,
        "DATABASE_URL": "postgresql://goruptime@db.invalid/goruptime",
        "REDIS_URL": "redis://cache.invalid:6379/0",
        "GORUPTIME_SECRET_KEY": secrets.token_urlsafe(60),
        "GORUPTIME_ENCRYPTION_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "GORUPTIME_PUBLIC_URL": "https://up.example.org",
        "GORUPTIME_ALLOWED_HOSTS": "up.example.org",
    }
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
