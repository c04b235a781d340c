"""CPU cost of an HTTP check over a new connection, compared with other clients: `python -m benchmarks.engines`.

There is one target on the loopback, plain and TLS. Each engine runs in a process of its own, in turn, for several
rounds; the median counts. Every check opens a new connection, verifies it against a CA bundle of the usual size and
reads the whole body. CPU is the user and system time of the engine's process after a warm-up; that of the exporter
includes its HTTP API.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import certifi
import psutil
import requests
import trustme
from requests.adapters import HTTPAdapter

from apps.net.address_policy import AddressPolicy
from apps.net.network import Network
from apps.probes import runner
from apps.probes.wire import Job
from benchmarks.machine import described

WARM, ROUNDS, TOGETHER, THREADS = 200, 3, 200, 64
_TOOLS = Path(tempfile.gettempdir()) / "goruptime-bench-tools"
_EXPORTER = "prometheus-blackbox-exporter"
_CONFIG = "modules: {http: {prober: http, timeout: 10s, http: {preferred_ip_protocol: ip4}}}\n"


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _many(look: Callable[[], Awaitable[None]], count: int) -> None:
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            await look()

    await asyncio.gather(*(work() for _ in range(min(TOGETHER, count))))


async def _measured(look: Callable[[], Awaitable[None]], count: int) -> float:
    await _many(look, WARM)
    before = cpu_s()
    await _many(look, count)
    return cpu_s() - before


async def goruptime(url: str, ca: str, count: int) -> float:
    """Measure the product's runner, including address policy, phases, certificate, facts and verdict."""
    network = Network(AddressPolicy(private=True), ca_file=ca)
    job = Job("check", 1, 0, "http", url, {}, 10_000)

    async def look() -> None:
        result = await runner.run(job, network, int(time.time() * 1000))
        assert result.outcome.facts["status"] == 200, result

    try:
        return await _measured(look, count)
    finally:
        await network.close()


async def aiohttp_(url: str, ca: str, count: int) -> float:
    connector = aiohttp.TCPConnector(force_close=True, limit=0, ssl=ssl.create_default_context(cafile=ca))
    async with aiohttp.ClientSession(connector=connector) as session:

        async def look() -> None:
            async with session.get(url) as response:
                await response.read()
                assert response.status == 200

        return await _measured(look, count)


class _Shared(HTTPAdapter):
    """An adapter whose checks share one SSL context: parsing the CA bundle for each would cost twenty times as much."""

    context: ssl.SSLContext

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        host, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {"ssl_context": self.context}

    def cert_verify(self, *_args: Any) -> None:
        """Do nothing: the shared context verifies the certificate."""


def requests_(url: str, ca: str, count: int) -> float:
    _Shared.context = ssl.create_default_context(cafile=ca)

    def look(_: int) -> None:
        with requests.Session() as session:
            session.trust_env = False
            session.mount("https://", _Shared())
            assert session.get(url, timeout=10).status_code == 200

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(look, range(WARM)))
        before = cpu_s()
        list(pool.map(look, range(count)))
        return cpu_s() - before


def exporter(url: str, ca: str, count: int) -> float | None:
    """Measure Debian's blackbox exporter, downloaded if it is not installed; return None where it cannot be had."""
    program = _exporter()
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yml"
        config.write_text(_CONFIG)
        command = [program, f"--config.file={config}", "--web.listen-address=127.0.0.1:9195", "--log.level=error"]
        # Passed as the system's CA bundle: a `ca_file` in the configuration would be parsed for each check.
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, env={**os.environ, "SSL_CERT_FILE": ca}, **quiet) as process:
            try:
                return asyncio.run(
                    _ask_exporter(psutil.Process(process.pid), f"http://127.0.0.1:9195/probe?module=http&target={url}", count)
                )
            finally:
                process.terminate()


async def _ask_exporter(process: psutil.Process, address: str, count: int) -> float:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def look() -> None:
            async with session.get(address) as response:
                assert "probe_success 1" in await response.text()

        for _ in range(100):
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(address):
                    break
            await asyncio.sleep(0.05)
        await _many(look, WARM)
        before = sum(process.cpu_times()[:2])
        await _many(look, count)
        return float(sum(process.cpu_times()[:2]) - before)


def _exporter() -> str | None:
    found = shutil.which(_EXPORTER) or str(_TOOLS / "usr/bin" / _EXPORTER)
    if Path(found).exists():
        return found
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return None
    _TOOLS.mkdir(exist_ok=True)
    fetched = subprocess.run(["apt-get", "download", "-q", _EXPORTER], cwd=_TOOLS, capture_output=True, check=False)
    for package in _TOOLS.glob("*.deb") if fetched.returncode == 0 else ():
        subprocess.run(["dpkg-deb", "-x", str(package), str(_TOOLS)], check=True)
    return found if Path(found).exists() else None


ENGINES: dict[str, Callable[[str, str, int], Any]] = {
    "GoUpTime": lambda *given: asyncio.run(goruptime(*given)),
    "aiohttp": lambda *given: asyncio.run(aiohttp_(*given)),
    "requests": requests_,
    "blackbox_exporter": exporter,
}


@contextlib.contextmanager
def target(certificate: str) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.target", *(["--cert", certificate] if certificate else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{process.stdout.readline().strip()}/"
        process.terminate()


def measure(count: int) -> dict[str, Any]:
    """Measure all engines and return the CPU seconds per 1,000 checks by engine and scheme."""
    found: dict[str, dict[str, float | None]] = {name: {} for name in ENGINES}
    with tempfile.TemporaryDirectory() as folder:
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(f"{folder}/site.pem")
        Path(f"{folder}/ca.pem").write_text(Path(certifi.where()).read_text() + authority.cert_pem.bytes().decode())
        for scheme, file in (("plain", ""), ("tls", f"{folder}/site.pem")):
            with target(file) as url:
                rounds: dict[str, list[float | None]] = {name: [] for name in ENGINES}
                for _ in range(ROUNDS):
                    for name in ENGINES:
                        rounds[name].append(_in_its_own_process(name, url, f"{folder}/ca.pem", count))
                for name, figures in rounds.items():
                    known = [figure for figure in figures if figure is not None]
                    found[name][scheme] = round(statistics.median(known) / count * 1000, 3) if known else None
    return {**described(), "checks": count, "rounds": ROUNDS, "cpu_s_per_1000": found}


def _in_its_own_process(name: str, url: str, ca: str, count: int) -> float | None:
    command = [sys.executable, "-m", "benchmarks.engines", "--one", name, "--url", url, "--ca", ca, "--count", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figure: float | None = json.loads(done.stdout)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", choices=list(ENGINES))
    parser.add_argument("--url")
    parser.add_argument("--ca")
    parser.add_argument("--count", type=int, default=1_000)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(ENGINES[given.one](given.url, given.ca, given.count)))
        return
    result = measure(given.count)
    print(f"CPU s per 1,000 fresh checks, median of {ROUNDS} rounds of {given.count}, on {result['machine']}")
    for name, figures in result["cpu_s_per_1000"].items():
        shown = [f"{scheme} {figure if figure is not None else 'not here'}" for scheme, figure in figures.items()]
        print(f"  {name:18} {'   '.join(shown)}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
