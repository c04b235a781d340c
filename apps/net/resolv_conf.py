"""Parse /etc/resolv.conf: name servers, search list and `ndots`, interpreted like the C library does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from apps.net.hosts import literal

_MAX_SERVERS, _MAX_SEARCHED, _MAX_NDOTS = 3, 32, 15


@dataclass(frozen=True)
class ResolvConf:
    """The settings of a resolver; see resolv.conf(5)."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    ndots: int = 1

    def candidates(self, name: str) -> Sequence[str]:
        """Return the names to look up for `name`, in order, by the rules of `ndots` and the search list."""
        searched = [f"{name}.{domain}" for domain in self.search]
        return [name, *searched] if name.count(".") >= self.ndots else [*searched, name]


def parse_resolv_conf(text: str) -> ResolvConf:
    """Parse the text of resolv.conf. Invalid entries are ignored, as by the C library."""
    nameservers: list[str] = []
    search: tuple[str, ...] = ()
    ndots = 1
    for line in text.splitlines():
        keyword, *values = line.partition("#")[0].split() or [""]
        if keyword == "nameserver" and values and (address := literal(values[0].partition("%")[0])):
            nameservers.append(address)
        elif keyword in ("search", "domain"):  # the last one wins
            search = tuple(name for value in values if (name := value.lower().strip(".")))
        elif keyword == "options":
            given = [value.removeprefix("ndots:") for value in values if value.startswith("ndots:")]
            ndots = min(int(given[-1]), _MAX_NDOTS) if given and given[-1].isascii() and given[-1].isdigit() else ndots
    return ResolvConf(tuple(nameservers[:_MAX_SERVERS]), search[:_MAX_SEARCHED], ndots)


class ResolvConfFile:
    """Access to the file, which is parsed again whenever it changes."""

    def __init__(self, path: str = "/etc/resolv.conf") -> None:
        self._path = path
        self._read_at: int | None = None
        self._parsed = ResolvConf()

    def current(self) -> ResolvConf:
        """Return the current settings; an empty configuration if the file cannot be read."""
        try:
            changed_at = os.stat(self._path).st_mtime_ns
            if changed_at != self._read_at:
                with open(self._path, encoding="utf-8", errors="replace") as file:
                    self._parsed = parse_resolv_conf(file.read())
                self._read_at = changed_at
        except OSError:
            return ResolvConf()
        return self._parsed
