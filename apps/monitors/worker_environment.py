"""The environment variables of a region's probe worker."""

from __future__ import annotations

from django.conf import settings

from apps.monitors.models import Region


def worker_environment(region: Region) -> dict[str, str]:
    environment = {
        "GORUPTIME_BROKER_URL": settings.REGION_BROKER_URL,
        "GORUPTIME_REGION": region.slug,
        "GORUPTIME_REGION_KEY": region.key,
        "GORUPTIME_PRIVATE_TARGETS": settings.PRIVATE_TARGETS,
        "GORUPTIME_ALLOWED_NETWORKS": settings.ALLOWED_NETWORKS,
        "GORUPTIME_DENIED_NETWORKS": settings.DENIED_NETWORKS,
        "GORUPTIME_CA_FILE": settings.CA_FILE,
        "GORUPTIME_CANARIES": settings.CANARIES,
        "GORUPTIME_PROBE_CONCURRENCY": str(settings.PROBE_CONCURRENCY),
        "GORUPTIME_PROBE_PER_HOST": str(settings.PROBE_PER_HOST),
    }
    return {name: value for name, value in environment.items() if value}
