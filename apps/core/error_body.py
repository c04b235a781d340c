"""The JSON body of the API's and the web server's error responses: an object `error` with code, message, details."""

from __future__ import annotations

import json
from typing import Any


def error_body(code: str, message: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "details": details or {}}}


def error_json(code: str, message: str) -> bytes:
    return json.dumps(error_body(code, message)).encode()
