"""A body becomes text within its limits, or a sentence about why it cannot be read."""

from __future__ import annotations

import codecs
import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.probes.body import DECODED, MOST_MEMBERS, UNPACKED_LIMIT, UnreadableBodyError, text_of, unpacked

BOMB = gzip.compress(b"\0" * (64 * 1024 * 1024))


def bare_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"hello", ""),
        (b"hello", "identity"),
        (gzip.compress(b"hello"), "gzip"),
        (gzip.compress(b"hello"), "X-GZIP"),
        (gzip.compress(b"hello"), "identity, gzip"),
        (gzip.compress(b"hel") + gzip.compress(b"lo"), "gzip"),
        (gzip.compress(b"hello") + b"\0\0\0 whatever follows", "gzip"),
        (zlib.compress(b"hello"), "deflate"),
        (bare_deflate(b"hello"), "deflate"),
    ],
    ids=["bare", "identity", "gzip", "x-gzip", "identity, gzip", "two members", "padded", "zlib", "deflate"],
)
def test_a_body_is_unpacked(body: bytes, coding: str) -> None:
    assert unpacked(body, coding, whole=True) == (b"hello", True)


@pytest.mark.parametrize("packed", [BOMB, zlib.compress(b"\0" * (64 * 1024 * 1024))], ids=["gzip", "deflate"])
def test_a_bomb_unpacks_up_to_the_limit(packed: bytes) -> None:
    coding = "gzip" if packed is BOMB else "deflate"
    assert unpacked(packed, coding, whole=True) == (b"\0" * UNPACKED_LIMIT, False)


def test_a_bomb_in_many_parts_does_not_unpack_more() -> None:
    part = gzip.compress(b"\0" * (UNPACKED_LIMIT - 10))
    assert unpacked(part * 40, "gzip", whole=True) == (b"\0" * UNPACKED_LIMIT, False)


@pytest.mark.parametrize(
    ("body", "coding", "sentence"),
    [
        (b"hello", "gzip", "cannot be unpacked as gzip (incorrect header check)"),
        (b"hello", "deflate", "cannot be unpacked as deflate"),
        (gzip.compress(b"hello" * 100)[:-9], "gzip", "cannot be unpacked as gzip (it ends in the middle)"),
        (zlib.compress(b"hello" * 100)[:-9], "deflate", "cannot be unpacked as deflate (it ends in the middle)"),
        (gzip.compress(b"hello")[:-8] + b"\0" * 8, "gzip", "cannot be unpacked as gzip (incorrect data check)"),
        (gzip.compress(b"") * (MOST_MEMBERS + 1), "gzip", "more than 64 parts"),
        (b"hello", "br", 'is packed as "br", which is not unpacked here'),
        (b"hello", "gzip, gzip", 'is packed as "gzip, gzip"'),
        (b"hello", "x" * 10_000, "which is not unpacked here"),
    ],
    ids=["bare", "not zlib", "gzip cut", "deflate cut", "damaged", "members", "brotli", "twice", "unknown"],
)
def test_what_cannot_be_unpacked_says_why(body: bytes, coding: str, sentence: str) -> None:
    with pytest.raises(UnreadableBodyError) as caught:
        unpacked(body, coding, whole=True)
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 200


def test_an_answer_that_was_cut_is_unpacked_as_far_as_it_came() -> None:
    body, whole = unpacked(gzip.compress(b"hello" * 1000)[:-9], "gzip", whole=False)
    assert (body[:10], whole) == (b"hellohello", False)
    body, whole = unpacked(zlib.compress(b"hello" * 1000)[:-9], "deflate", whole=False)
    assert (body[:10], whole) == (b"hellohello", False)


def test_an_empty_body_needs_no_unpacking() -> None:
    assert unpacked(b"", "gzip", whole=True) == (b"", True)


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("é€".encode(), "", "é€"),
        ("é€".encode(), "text/html; charset=UTF-8", "é€"),
        (b"\xe9\x80", "", "é€"),
        (b"\xe9\x80", "text/html; charset=iso-8859-1", "é€"),
        (b"\xe9\x80", 'text/html; Charset="us-ascii"', "é€"),
        (b"\xe9", "text/html; charset=utf-8", "\ufffd"),
        ("日本".encode("shift_jis"), "text/html;charset=Shift_JIS", "日本"),
        ("é".encode("utf-16"), "", "é"),
        (codecs.BOM_UTF8 + b"ok", "", "ok"),
        (codecs.BOM_UTF8 + b"ok", "text/html; charset=utf-8", "ok"),
        (codecs.BOM_UTF8 + b"ok", "text/html; charset=iso-8859-1", "ok"),
        (b"ok", "text/html; charset=klingon", "ok"),
        (b"ok", "text/html; charset=", "ok"),
        (b"ok-abc", "text/html; charset=punycode", "ok-abc"),
        (b"616263", "text/html; charset=hex", "616263"),
        (b"\\x41", "text/html; charset=unicode_escape", "\\x41"),
    ],
)
def test_text_is_read_by_its_charset(body: bytes, content_type: str, text: str) -> None:
    assert text_of(body, content_type) == text


def test_a_letter_that_was_cut_in_two_is_left_out() -> None:
    assert text_of("aé".encode()[:-1], "", whole=False) == "a"
    assert text_of("aé".encode()[:-1], "", whole=True) == "aÃ"


def test_every_charset_is_one_that_python_knows_by_that_name() -> None:
    assert {codecs.lookup(name).name for name in DECODED} == set(DECODED)


@given(
    st.binary(max_size=200),
    st.sampled_from(["gzip", "deflate", "identity", "br", "gzip, deflate", ", ,"]),
    st.booleans(),
)
def test_no_body_does_anything_else(body: bytes, coding: str, whole: bool) -> None:
    with suppress(UnreadableBodyError):
        unpacked(body, coding, whole=whole)
    with suppress(UnreadableBodyError):
        unpacked(gzip.compress(body)[: len(body)], coding, whole=whole)


@given(st.binary(max_size=100), st.sampled_from(sorted(DECODED)), st.text(max_size=20), st.booleans())
def test_any_bytes_are_some_text(body: bytes, charset: str, odd: str, whole: bool) -> None:
    text_of(body, f"text/html; charset={charset}", whole=whole).encode()
    text_of(body, f"charset={odd}", whole=whole).encode()


@given(st.binary(max_size=60), st.sampled_from(sorted(DECODED)))
@settings(max_examples=200, deadline=None)
def test_a_long_body_is_decoded_in_pieces_to_the_same_text(sent: bytes, codec: str) -> None:
    whole = text_of(sent, f"text/html; charset={codec}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workers.probes.body.PIECE", 3)
        assert text_of(sent, f"text/html; charset={codec}") == whole
