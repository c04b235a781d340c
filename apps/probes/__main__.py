"""Run a probe worker (`python -m apps.probes`) for the region that the environment variables name."""

from __future__ import annotations

import logging
import os
import sys
import warnings

from celery.exceptions import SecurityWarning

from apps.net.network import Network
from apps.probes.canary import Canaries
from apps.probes.engine import Engine
from apps.probes.publisher import Publisher
from apps.probes.watchdog import Watchdog
from apps.probes.worker import Settings, SettingsError, make_app, raise_file_limit, transport_options
from apps.telemetry import health

log = logging.getLogger("apps.probes")


def main() -> int:
    """Run the worker until it is told to stop; return the exit code: 2 for invalid settings."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("celery").setLevel(logging.WARNING)
    try:
        settings = Settings.read(os.environ)
    except SettingsError as error:
        log.error("%s", error)
        return 2
    raise_file_limit()
    if settings.health is not None:
        health.serve(*settings.health)
    # When started as root, Celery warns about pickle, which this app does not accept.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    publisher = Publisher(settings.broker_url, transport_options("ingest"))
    engine = Engine(
        region=settings.region,
        region_key=settings.region_key,
        network=Network(settings.policy, ca_file=settings.ca_file),
        publish=publisher,
        limits=settings.limits,
        canaries=Canaries(settings.canaries),
    )
    app = make_app(settings, engine)
    watchdog = Watchdog(engine)
    engine.start()
    watchdog.start()
    log.info("worker %s probes for region %s", engine.worker_id, settings.region)
    flags = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    flags += ["-n", f"apps.probes.{settings.region}.{engine.worker_id}@%h"]
    try:
        code: object = app.worker_main(["--quiet", "worker", "--pool", "threads", "--concurrency", "1", *flags])
    except SystemExit as ended:
        code = ended.code
    finally:
        watchdog.stop()
        engine.stop()
        publisher.close()
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
