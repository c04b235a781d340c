"""Static files with hashed names, compressed when collected: ours also with Brotli, libraries with gzip only."""

from __future__ import annotations

from typing import Any

from whitenoise.compress import Compressor
from whitenoise.storage import CompressedManifestStaticFilesStorage

_LIBRARIES = ("/admin/", "django_celery_beat")


class _OursBest(Compressor):  # type: ignore[misc]  # untyped library
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._quick = Compressor(**options, use_brotli=False)

    def compress(self, path: str) -> Any:
        is_library = any(part in path for part in _LIBRARIES)
        return self._quick.compress(path) if is_library else super().compress(path)


class AssetStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # untyped library
    def create_compressor(self, **options: Any) -> Compressor:
        return _OursBest(**options)
