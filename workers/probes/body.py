"""The text of a body: unpacked within a limit, decoded by the charset that it names. Pure.

Only what an expectation looks at is unpacked at all. We ask for bodies as they are (`accept-encoding: identity`), so a
packed one comes from a server that does not listen, or from a site whose own header asks for it.
"""

from __future__ import annotations

import codecs
import re
import zlib

UNPACKED_LIMIT = 2 * 1024 * 1024  # as of a body as it is sent: a bomb unpacks to a thousand times its size
PIECE = 64 * 1024  # decoded at once: 7 ms where all of it is no letter
MOST_MEMBERS = 64  # of one gzip stream; each costs a copy of what is left of it

GZIP = frozenset({"gzip", "x-gzip"})
PLAIN = frozenset({"", "identity"})
CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:+-]{1,40})", re.IGNORECASE)
# What browsers decode (the WHATWG's list), by Python's names. Others, such as punycode, may take quadratic time.
_CODECS = (
    "ascii big5 big5hkscs cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp866 cp874 cp932 cp949 "
    "euc_jp euc_kr gb18030 gb2312 gbk iso2022_jp iso8859-1 iso8859-10 iso8859-13 iso8859-14 iso8859-15 iso8859-16 "
    "iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6 iso8859-7 iso8859-8 koi8-r koi8-u mac-roman shift_jis tis-620 "
    "utf-16 utf-16-be utf-16-le utf-8 utf-8-sig"
)
DECODED = frozenset(_CODECS.split())
# As browsers read them.
ALIASES = {"ascii": "cp1252", "iso8859-1": "cp1252", "utf-8": "utf-8-sig", "utf-16": "utf-16-le"}
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class UnreadableBodyError(Exception):
    """A body that cannot be unpacked, in a sentence."""


def unpacked(body: bytes, coding: str, *, whole: bool, limit: int = UNPACKED_LIMIT) -> tuple[bytes, bool]:
    """The body without its content-coding, and whether that is all of it. Errors: UnreadableBodyError.

    `whole` says whether all of the body came; no more than `limit` bytes are made of it.
    """
    codings = [name for part in coding.lower().split(",") if (name := part.strip()) not in PLAIN]
    if not codings or not body:
        return body, whole
    if len(codings) > 1 or codings[0] not in (*GZIP, "deflate"):
        named = ", ".join(codings)[:60]
        raise UnreadableBodyError(f'the body is packed as "{named}", which is not unpacked here: ask for gzip, or none')
    try:
        if codings[0] in GZIP:
            return _members(body, whole=whole, limit=limit)
        return _stream(body, zlib.MAX_WBITS if _has_zlib_head(body) else -zlib.MAX_WBITS, whole=whole, limit=limit)
    except zlib.error as error:
        said = str(error).rpartition(": ")[2]
        raise UnreadableBodyError(f"the body cannot be unpacked as {codings[0]} ({said})") from None


def text_of(body: bytes, content_type: str, *, whole: bool = True) -> str:
    """The text of an unpacked body: by its byte order mark, its charset, as UTF-8, or else as Windows-1252.

    What is no letter there is a replacement character.
    """
    codec = _marked(body) or _named(content_type)
    if codec is None:
        try:
            return codecs.getincrementaldecoder("utf-8")().decode(body, final=whole)
        except UnicodeDecodeError:
            codec = "cp1252"
    if len(body) <= PIECE:
        return body.decode(codec, "replace")
    # Each call keeps all other threads waiting, and what is no letter takes long.
    decoder, view = codecs.getincrementaldecoder(codec)("replace"), memoryview(body)
    pieces = [decoder.decode(view[at : at + PIECE]) for at in range(0, len(body), PIECE)]
    return "".join([*pieces, decoder.decode(b"", final=True)])


def _members(body: bytes, *, whole: bool, limit: int) -> tuple[bytes, bool]:
    """A gzip stream is one or more members; what follows them and is none is ignored, as everybody does."""
    found = bytearray()
    for _ in range(MOST_MEMBERS):
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        found += member.decompress(body, limit - len(found) + 1)
        if len(found) > limit:
            return bytes(found[:limit]), False
        if not member.eof:
            if whole:
                raise UnreadableBodyError("the body cannot be unpacked as gzip (it ends in the middle)")
            return bytes(found), False
        body = member.unused_data
        if not body.startswith(b"\x1f\x8b"):
            return bytes(found), whole
    raise UnreadableBodyError(f"the body cannot be unpacked as gzip (more than {MOST_MEMBERS} parts)")


def _stream(body: bytes, format_: int, *, whole: bool, limit: int) -> tuple[bytes, bool]:
    stream = zlib.decompressobj(format_)
    found = stream.decompress(body, limit + 1)
    if len(found) > limit:
        return found[:limit], False
    if not stream.eof and whole:
        raise UnreadableBodyError("the body cannot be unpacked as deflate (it ends in the middle)")
    return found, whole and stream.eof


def _has_zlib_head(body: bytes) -> bool:
    """RFC 1950; servers that send the bare stream of RFC 1951 are as old as the header."""
    return len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0


def _marked(body: bytes) -> str | None:
    return next((codec for mark, codec in BYTE_ORDER_MARKS.items() if body.startswith(mark)), None)


def _named(content_type: str) -> str | None:
    match = CHARSET.search(content_type)
    try:
        name = codecs.lookup(match[1]).name if match else ""
    except LookupError:
        return None
    return ALIASES.get(name, name) if name in DECODED else None
