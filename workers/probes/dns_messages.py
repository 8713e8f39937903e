"""DNS messages as they go over the wire (RFC 1035, EDNS of RFC 6891): questions to write, answers to read. Pure.

Only what a look-up needs: addresses, and the aliases on the way to them. Whoever answers may be hostile, so nothing
in here takes longer than its bytes do: pointers lead backwards only, and every count has an end.
"""

from __future__ import annotations

import enum
import functools
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

EDNS_BYTES = 1232  # the most over UDP that no path cuts into fragments, as resolvers agreed on; the rest is for TCP
LONGEST_NAME = 255  # on the wire, with its lengths
LONGEST_LABEL = 63
MOST_ALIASES = 16  # as many as BIND follows
MOST_RECORDS = 1_000  # of an answer are looked at: nobody connects to more

HEADER = struct.Struct("!HHHHHH")
RECORD = struct.Struct("!HHIH")  # after the owner: type, class, time to live, length of the data
IN = 1
OPT = b"\x00" + RECORD.pack(41, EDNS_BYTES, 0, 0)
# One question, recursion desired; with one record behind it, and without.
WITH_OPT, PLAIN = b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01", b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
IS_ANSWER, OPCODE, TRUNCATED = 0x80, 0x78, 0x02
ALLOWED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/")


class Kind(enum.IntEnum):
    """A type of records."""

    A = 1
    NS = 2
    CNAME = 5
    AAAA = 28


class Code(enum.IntEnum):
    """What a resolver says of a question, as far as it is told apart."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5


class UnreadableError(ValueError):
    """Bytes that are no message, or one that contradicts itself."""


class Question(NamedTuple):
    """A name and a kind as they are asked for: `wire` is the message without its two bytes of id."""

    kind: Kind
    asked: bytes  # name, type and class
    wire: bytes
    wire_without_edns: bytes


class Answer(NamedTuple):
    """What was said: `code` as the resolver gave it, `alias` the last name that the asked one stands for.

    `circular` where the aliases have no end.
    """

    code: int
    addresses: tuple[str, ...] = ()
    alias: str | None = None
    circular: bool = False
    truncated: bool = False


@functools.lru_cache(maxsize=4096)
def question(name: str, kind: Kind) -> Question:
    """How a name (no dot at its end; the empty one is the root) is asked for. `ValueError` where it is none."""
    labels = name.encode("ascii").split(b".") if name else []
    if not all(0 < len(label) <= LONGEST_LABEL and ALLOWED.issuperset(label) for label in labels):
        raise ValueError(f"{name!r} is not a host name")
    packed = b"".join(bytes((len(label),)) + label for label in labels) + b"\x00"
    if len(packed) > LONGEST_NAME:
        raise ValueError(f"{name!r} is longer than a name may be")
    asked = packed + struct.pack("!HH", kind, IN)
    return Question(kind, asked, WITH_OPT + asked + OPT, PLAIN + asked)


def answers(wire: bytes, number: int, asked: Question) -> bool:
    """Whether a message answers this question with this id, as far as can be told from what can be read of it.

    A question that is not echoed whole is another's, or nobody's. One that cannot be read at all, under the right id,
    is a broken resolver's: `read` says so.
    """
    if len(wire) < HEADER.size or wire[0] << 8 | wire[1] != number or not wire[2] & IS_ANSWER:
        return False
    if wire.startswith(asked.asked, HEADER.size):
        return True
    if wire[3] & 0x0F in (Code.FORMERR, Code.NOTIMP, Code.SERVFAIL, Code.REFUSED) and wire[4:6] == b"\x00\x00":
        return True  # some echo nothing with an error
    try:
        return _echoes(wire, asked)
    except UnreadableError:
        return True


def read(wire: bytes, asked: Question) -> Answer:
    """The answer that a message is. Errors: UnreadableError."""
    _, flags, questions, found, authorities, more = HEADER.unpack_from(wire)
    code = flags & 0x0F
    if flags >> 8 & TRUNCATED:
        return Answer(code, truncated=True)
    if not questions and code:
        return Answer(code)
    if flags >> 8 & OPCODE or questions != 1 or not _echoes(wire, asked):
        raise UnreadableError("not the answer to this one question")
    at = HEADER.size + len(asked.asked)
    names: dict[int, bytes] = {HEADER.size: asked.asked[:-4].lower()}
    aliases: dict[bytes, bytes] = {}
    addresses: dict[bytes, list[str]] = {}
    for owner, kind, start, length in _records(wire, at, min(found, MOST_RECORDS), names):
        if kind == asked.kind:
            addresses.setdefault(owner, []).append(_address(wire, kind, start, length))
        elif kind == Kind.CNAME:
            target, end = name_at(wire, start, names)
            if end != start + length:
                raise UnreadableError("an alias that is longer than its record")
            aliases.setdefault(owner, target)
        at = start + length
    _skim(wire, at, max(0, found - MOST_RECORDS) + authorities + more)
    return _followed(code, names[HEADER.size], aliases, addresses)


def name_at(wire: bytes, offset: int, known: dict[int, bytes]) -> tuple[bytes, int]:
    """A name, unpacked and in lower case, and the offset behind it; `known` are names by their offset, to be shared.

    Errors: UnreadableError. Each pointer leads to before the name that it stands in, so that none leads in a circle.
    """
    labels: list[bytes] = []
    jumps: list[tuple[int, int]] = []  # to which offset, behind how many labels
    length, at, end = 1, offset, -1
    while True:
        size = wire[at] if at < len(wire) else -1
        if size > LONGEST_LABEL:
            target = (size & 0x3F) << 8 | wire[at + 1] if size >= 0xC0 and at + 1 < len(wire) else offset
            if target >= (jumps[-1][0] if jumps else offset):
                raise UnreadableError("a pointer that leads nowhere")
            end = at + 2 if end < 0 else end
            shared = known.get(target)
            if shared is not None:
                labels.append(shared)
                length += len(shared) - 1
                break
            jumps.append((target, len(labels)))
            at = target
        elif size > 0:
            labels.append(wire[at : at + size + 1].lower())
            at += size + 1
            length += size + 1
        elif size == 0:
            labels.append(b"\x00")
            end = at + 1 if end < 0 else end
            break
        else:
            raise UnreadableError("a name without an end")
        if length > LONGEST_NAME:
            break
    if length > LONGEST_NAME:
        raise UnreadableError("a name that is too long")
    for target, behind in jumps:
        known[target] = b"".join(labels[behind:])
    known[offset] = name = b"".join(labels)
    return name, end


def text_of(name: bytes) -> str:
    """A name for people, whatever its bytes are."""
    labels, at = [], 0
    while name[at : at + 1] not in (b"", b"\x00"):
        labels.append(name[at + 1 : at + 1 + name[at]].decode("ascii", "backslashreplace"))
        at += name[at] + 1
    return ".".join("".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in label) for label in labels) or "."


def _echoes(wire: bytes, asked: Question) -> bool:
    """Whether the question of a message is the one that was asked, in whatever case. Errors: UnreadableError."""
    if wire.startswith(asked.asked, HEADER.size):
        return True
    name, end = name_at(wire, HEADER.size, {})
    return name + wire[end : end + 4] == asked.asked.lower()


def _records(wire: bytes, at: int, count: int, names: dict[int, bytes]) -> Iterator[tuple[bytes, int, int, int]]:
    """(owner, type, start of its data, length of its data) of so many records, those of other classes as type 0."""
    for _ in range(count):
        if wire[at : at + 2] == b"\xc0\x0c":  # the name that was asked for, which is most of them
            owner, at = names[HEADER.size], at + 2
        else:
            owner, at = name_at(wire, at, names)
        start = at + RECORD.size
        if start > len(wire):
            raise UnreadableError("a record without an end")
        kind, kind_class, _, length = RECORD.unpack_from(wire, at)
        at = start + length
        if at > len(wire):
            raise UnreadableError("a record without an end")
        yield owner, kind if kind_class == IN else 0, start, length


def _skim(wire: bytes, at: int, count: int) -> None:
    """See to it that so many records are there, whatever they say."""
    for _ in range(count):
        while 0 < (size := wire[at] if at < len(wire) else 0) <= LONGEST_LABEL:
            at += size + 1
        start = at + (2 if size else 1) + RECORD.size
        if start > len(wire):
            raise UnreadableError("a record without an end")
        at = start + (wire[start - 2] << 8 | wire[start - 1])
        if at > len(wire):
            raise UnreadableError("a record without an end")


def _address(wire: bytes, kind: int, start: int, length: int) -> str:
    if kind == Kind.A and length == 4:
        return socket.inet_ntoa(wire[start : start + 4])
    if kind == Kind.AAAA and length == 16:
        return socket.inet_ntop(socket.AF_INET6, wire[start : start + 16])
    if kind == Kind.NS:
        return ""  # whoever asks for these wants to know that there is an answer
    raise UnreadableError("an address of the wrong length")


def _followed(code: int, name: bytes, aliases: dict[bytes, bytes], addresses: dict[bytes, list[str]]) -> Answer:
    """The addresses at the end of the aliases: what an answer says of other names nobody asked for."""
    at = name
    for _ in range(MOST_ALIASES + 1):
        if found := addresses.get(at):
            return Answer(code, tuple(found), None if at == name else text_of(at))
        if at not in aliases:
            return Answer(code, alias=None if at == name else text_of(at))
        at = aliases[at]
    return Answer(code, alias=text_of(aliases[name]), circular=True)
