"""When a region was live. Pure; times are epoch milliseconds of the core's clock."""

from __future__ import annotations

from dataclasses import dataclass, replace

SILENCE_MS = 15_000


@dataclass(frozen=True)
class Liveness:
    """What is kept of the times of a region's messages: the newest, and the last silence between two of them."""

    last_sent: int | None = None
    silent_from: int | None = None
    silent_until: int | None = None

    def heard(self, sent_at: int) -> Liveness:
        """Return the liveness after a message sent at `sent_at`; a late one shortens the silence it falls into."""
        if self.last_sent is None:
            return Liveness(sent_at)
        if sent_at > self.last_sent:
            if sent_at - self.last_sent > SILENCE_MS:
                return Liveness(sent_at, self.last_sent, sent_at)
            return replace(self, last_sent=sent_at)
        if self.silent_from is None or self.silent_until is None or not self.silent_from < sent_at < self.silent_until:
            return self
        if self.silent_until - sent_at > SILENCE_MS:
            return replace(self, silent_from=sent_at)
        if sent_at - self.silent_from > SILENCE_MS:
            return replace(self, silent_until=sent_at)
        return replace(self, silent_from=None, silent_until=None)

    def covers(self, moment: int, now: int) -> bool | None:
        """Return whether `moment` lies outside every silence; None while the next message may still show it."""
        if self.last_sent is None:
            return False
        if self.last_sent < moment:
            return None if now - self.last_sent <= SILENCE_MS else False
        is_silent = (
            self.silent_from is not None and self.silent_until is not None and self.silent_from < moment < self.silent_until
        )
        return not is_silent

    def is_live(self, slot: int) -> bool:
        """Return whether a message was sent in the 15 s before the slot, as far as is known."""
        if self.last_sent is None or slot - self.last_sent > SILENCE_MS:
            return False
        if self.silent_from is None or self.silent_until is None:
            return True
        return not self.silent_from + SILENCE_MS < slot < self.silent_until
