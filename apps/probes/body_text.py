"""Decode a response body to text as browsers do.

The encoding is taken from the byte order mark, the Content-Type header, or the `<meta>` element or XML declaration,
else UTF-8 is assumed. See https://encoding.spec.whatwg.org/ and the encoding prescan of the HTML standard; w3lib
implements them.
"""

from __future__ import annotations

import re

from w3lib.encoding import html_body_declared_encoding, read_bom, resolve_encoding, to_unicode

_CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.ASCII | re.IGNORECASE)
# Python's codecs for the encodings of web pages. Some other codecs need time quadratic in the length of the text.
_WEB_CODECS = re.compile(
    r"utf-8|utf-16|utf-(?:16|32)-[bl]e|cp125\d|cp(?:866|874|932|949)|iso8859-\d{1,2}|koi8-[ru]|mac-(?:roman|cyrillic)"
    r"|gb18030|big5hkscs|euc_(?:jp|kr)|iso2022_jp"
)


def decode_body(body: bytes, content_type: str) -> str:
    """Return the text of a body. Never raises: invalid bytes become U+FFFD, unknown encodings are read as UTF-8."""
    encoding, mark = read_bom(body)
    if encoding is not None and mark is not None:
        return to_unicode(body[len(mark) :], encoding)
    named = _CHARSET.search(content_type)
    encoding = (resolve_encoding(named[1]) if named else None) or _declared_inside(body)
    return to_unicode(body, encoding if encoding and _WEB_CODECS.fullmatch(encoding) else "utf-8")


def _declared_inside(body: bytes) -> str | None:
    """Return the encoding that the body itself declares, or None.

    UTF-16 is ignored: a body whose declaration can be read as ASCII is not UTF-16.
    """
    encoding = html_body_declared_encoding(body)
    return None if encoding and encoding.startswith("utf-16") else encoding
