"""Line-based protocols over a stream, and how each protocol upgrades to TLS (STARTTLS)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from apps.net.errors import NetError
from apps.net.stream import Stream

MAX_LINE = 4_096
MAX_LINES = 200


class Lines:
    """Reads and writes lines, with limits for their length and a deadline."""

    def __init__(self, stream: Stream, until: float) -> None:
        self._stream = stream
        self._until = until
        self._ahead = b""
        self.last = ""
        """The last line received, for facts and messages."""

    async def say(self, line: str) -> None:
        """Send one line. Raises NetError."""
        await self._stream.send(line.encode() + b"\r\n", self._until)

    async def hear(self) -> str:
        """Return the next line without its line break. Raises NetError if the stream ends or the line is too long."""
        while b"\n" not in self._ahead:
            if len(self._ahead) > MAX_LINE:
                raise NetError("protocol_error", f"a line of more than {MAX_LINE:,} bytes")
            data = await self._stream.receive(self._until)
            if not data:
                said = f" after {self.last!r}" if self.last else " without a word"
                raise NetError("connection_closed", f"the server closed the connection{said}")
            self._ahead += data
        line, _, self._ahead = self._ahead.partition(b"\n")
        self.last = line.decode("utf-8", "replace").rstrip("\r").replace("\x00", "�")[:1_000]
        return self.last

    async def reply(self) -> tuple[int, list[str]]:
        """Read an SMTP reply; return its code and the text of each line (RFC 5321, 4.2). Raises NetError."""
        texts = []
        for _ in range(MAX_LINES):
            line = await self.hear()
            code, rest = line[:3], line[3:]
            if not (code.isascii() and code.isdigit()) or rest[:1] not in ("", " ", "-"):
                raise NetError("protocol_error", f"{line!r} is not a reply with a code")
            texts.append(rest[1:])
            if rest[:1] != "-":
                return int(code), texts
        raise NetError("protocol_error", f"a reply of more than {MAX_LINES} lines")

    @property
    def is_drained(self) -> bool:
        """Whether no further data was received. Data ahead of the TLS handshake could be an injection."""
        return not self._ahead


async def greet_smtp(lines: Lines, name: str) -> tuple[str, list[str]]:
    """Read the greeting and send EHLO; return the greeting and the extensions. Raises NetError `smtp_greeting`."""
    try:
        code, texts = await lines.reply()
    except NetError as error:
        if error.code == "protocol_error":
            raise NetError("smtp_greeting", error.message) from error
        raise
    if code != 220:
        raise NetError("smtp_greeting", f"the server greets with {code} {' '.join(texts)}".rstrip())
    return " ".join(texts)[:300], await ehlo(lines, name)


_UNKNOWN_COMMAND = frozenset({500, 501, 502, 504})


async def ehlo(lines: Lines, name: str) -> list[str]:
    """Send EHLO; return the extensions in upper case, none if the server knows only HELO (RFC 5321, 4.1.4)."""
    await lines.say(f"EHLO {name}")
    code, texts = await lines.reply()
    if code in _UNKNOWN_COMMAND:
        await lines.say(f"HELO {name}")
        code, texts = await lines.reply()
        if code == 250:
            return []
    if code != 250:
        raise NetError("smtp_greeting", f"the server answers EHLO with {code} {' '.join(texts)}".rstrip())
    return [text.upper() for text in texts[1:]]


async def starttls_smtp(lines: Lines, extensions: list[str]) -> None:
    """Send STARTTLS. Raises NetError `starttls_missing` if the server does not offer or accept it."""
    if "STARTTLS" not in extensions:
        raise NetError("starttls_missing", f"the server offers {', '.join(extensions) or 'no extension'}, and no STARTTLS")
    await lines.say("STARTTLS")
    code, texts = await lines.reply()
    if code != 220:
        raise NetError("starttls_missing", f"the server answers STARTTLS with {code} {' '.join(texts)}".rstrip())


async def _smtp(stream: Stream, until: float) -> None:
    lines = Lines(stream, until)
    _, extensions = await greet_smtp(lines, "probe.invalid")
    await starttls_smtp(lines, extensions)
    ensure_drained(lines)


async def _imap(stream: Stream, until: float) -> None:
    await _asked(Lines(stream, until), "* OK", "a STARTTLS", "a OK")


async def _pop3(stream: Stream, until: float) -> None:
    await _asked(Lines(stream, until), "+OK", "STLS", "+OK")


_UNTAGGED = 100
"""Limit for the untagged lines before IMAP's tagged response."""


async def _asked(lines: Lines, greeting: str, command: str, agreed: str) -> None:
    """Read the greeting, send a command and expect a line that begins with `agreed`. Raises NetError."""
    hello = await lines.hear()
    if not hello.upper().startswith(greeting):
        raise NetError("banner_mismatch", f"the server greets with {hello!r}")
    await lines.say(command)
    answer = await lines.hear()
    for _ in range(_UNTAGGED):  # untagged responses may precede IMAP's tagged one
        if not answer.startswith("* "):
            break
        answer = await lines.hear()
    if not answer.upper().startswith(agreed.upper()):
        raise NetError("starttls_missing", f"the server answers {command.rsplit(maxsplit=1)[-1]} with {answer!r}")
    ensure_drained(lines)


def ensure_drained(lines: Lines) -> None:
    """Raise NetError if the server sent plain-text data after it had agreed to TLS."""
    if not lines.is_drained:
        raise NetError("protocol_error", "the server spoke on in clear after it had agreed to TLS")


# RFC 4511, 4.12 and 4.14.1: the extended request "StartTLS" with message id 1.
_LDAP_STARTTLS = bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037"
_LDAP_SUCCESS = b"\x0a\x01\x00"
_LDAP_HEAD, _LDAP_LONGEST = 2, 512
# https://www.postgresql.org/docs/current/protocol-message-formats.html: SSLRequest
_POSTGRES_SSL = bytes.fromhex("0000000804d2162f")


async def _ldap(stream: Stream, until: float) -> None:
    await stream.send(_LDAP_STARTTLS, until)
    answer = b""
    while len(answer) < _LDAP_HEAD or len(answer) < _LDAP_HEAD + answer[1]:  # BER short form of length
        data = await stream.receive(until)
        if not data:
            raise NetError("connection_closed", "the server closed the connection when TLS was asked for")
        answer += data
        if not answer.startswith(b"\x30"):
            raise NetError("protocol_error", "the server does not speak LDAP")
        if len(answer) > _LDAP_LONGEST or (len(answer) > 1 and answer[1] & 0x80):
            break
    if _LDAP_SUCCESS not in answer[:32]:
        raise NetError("starttls_missing", "the server refuses StartTLS")


async def _postgres(stream: Stream, until: float) -> None:
    await stream.send(_POSTGRES_SSL, until)
    answer = await stream.receive(until)
    if answer == b"S":
        return
    if not answer:
        raise NetError("connection_closed", "the server closed the connection when TLS was asked for")
    if answer[:1] in (b"N", b"E"):
        raise NetError("starttls_missing", "the server refuses TLS")
    raise NetError("protocol_error", "the server does not speak PostgreSQL's protocol")


STARTTLS: dict[str, Callable[[Stream, float], Awaitable[None]]] = {
    "smtp": _smtp,
    "imap": _imap,
    "pop3": _pop3,
    "ldap": _ldap,
    "postgres": _postgres,
}
"""By protocol, a function that prepares a new connection for the TLS handshake. Each raises NetError."""
PORTS = {"": 443, "smtp": 25, "imap": 143, "pop3": 110, "ldap": 389, "postgres": 5432}
