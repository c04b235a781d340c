"""A body's bytes to text, as browsers do it: byte order mark, Content-Type, `<meta>` or XML prolog, else UTF-8.

The rules are those of https://encoding.spec.whatwg.org/ and of HTML's prescan; w3lib carries them.
"""

from __future__ import annotations

import re

from w3lib.encoding import html_body_declared_encoding, read_bom, resolve_encoding, to_unicode

_CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.ASCII | re.IGNORECASE)
# Python's codecs for the encodings of web pages: among the others are some whose decoding takes the square of the length.
_WEB_CODECS = re.compile(
    r"utf-8|utf-16|utf-(?:16|32)-[bl]e|cp125\d|cp(?:866|874|932|949)|iso8859-\d{1,2}|koi8-[ru]|mac-(?:roman|cyrillic)"
    r"|gb18030|big5hkscs|euc_(?:jp|kr)|iso2022_jp"
)


def decode_body(body: bytes, content_type: str) -> str:
    """The text of a body. Never raises: what cannot be decoded becomes U+FFFD, an unknown character set is UTF-8."""
    encoding, mark = read_bom(body)
    if encoding is not None and mark is not None:
        return to_unicode(body[len(mark) :], encoding)
    named = _CHARSET.search(content_type)
    encoding = (resolve_encoding(named[1]) if named else None) or _declared_inside(body)
    return to_unicode(body, encoding if encoding and _WEB_CODECS.fullmatch(encoding) else "utf-8")


def _declared_inside(body: bytes) -> str | None:
    """A declaration that can be read is not written in UTF-16, whatever it says."""
    encoding = html_body_declared_encoding(body)
    return None if encoding and encoding.startswith("utf-16") else encoding
