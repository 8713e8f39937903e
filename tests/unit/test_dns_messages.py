"""What is read out of an answer, sound or hostile; dnspython writes them, so that we do not believe ourselves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from ipaddress import ip_address

import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.probes.dns_messages import (
    MOST_ALIASES,
    MOST_RECORDS,
    Answer,
    Code,
    Kind,
    Question,
    UnreadableError,
    answers,
    name_at,
    question,
    read,
    text_of,
)

NAME = "www.site.example"
ASKED = question(NAME, Kind.A)
ID = 0x1234


def answer(*records: Sequence[str], code: int = 0, asked: Question = ASKED) -> bytes:
    """An answer with these records: (owner, type, data...)."""
    response = dns.message.make_response(dns.message.from_wire(ID.to_bytes(2, "big") + asked.wire))
    response.answer += [dns.rrset.from_text(f"{owner}.", 60, "IN", kind, *data) for owner, kind, *data in records]
    response.set_rcode(dns.rcode.Rcode(code))
    return response.to_wire(max_size=65535, want_shuffle=False)


def heard(wire: bytes, asked: Question = ASKED) -> Answer | None:
    """What a look-up makes of a packet; None where it is nobody's."""
    return read(wire, asked) if answers(wire, ID, asked) else None


def test_a_question_is_one_that_others_read() -> None:
    for kind in Kind:
        asked = question(NAME, kind)
        sent = dns.message.from_wire(ID.to_bytes(2, "big") + asked.wire)
        assert (sent.question[0].name.to_text(), int(sent.question[0].rdtype)) == (f"{NAME}.", kind)
        assert (sent.edns, sent.payload) == (0, 1232)
        assert dns.message.from_wire(ID.to_bytes(2, "big") + asked.wire_without_edns).edns == -1
    assert dns.message.from_wire(ID.to_bytes(2, "big") + question("", Kind.NS).wire).question[0].name.to_text() == "."


@pytest.mark.parametrize(
    "name", ["a..b", ".a", "a.", f"{'a' * 64}.b", ".".join(["abcdefgh"] * 29), "a b", "a\\.b", "é"]
)
def test_what_is_no_host_name_is_not_asked_for(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        question(name, Kind.A)


def test_addresses_are_read_in_their_order() -> None:
    assert heard(answer((NAME, "A", "1.2.3.4", "1.0.0.1"))) == Answer(0, ("1.2.3.4", "1.0.0.1"))
    six = question(NAME, Kind.AAAA)
    assert heard(answer((NAME, "AAAA", "2001:db8::1"), asked=six), six) == Answer(0, ("2001:db8::1",))
    assert heard(answer(code=3)) == Answer(Code.NXDOMAIN)


def test_aliases_are_followed_in_whatever_order_and_case_they_come() -> None:
    chain = [("b.example", "A", "1.2.3.4"), (NAME.upper(), "CNAME", "a.example."), ("A.example", "CNAME", "B.example.")]
    assert heard(answer(*chain)) == Answer(0, ("1.2.3.4",), "b.example")
    assert heard(answer(*chain[1:], code=3)) == Answer(Code.NXDOMAIN, (), "b.example")


def test_aliases_have_an_end() -> None:
    def chain(length: int) -> bytes:
        steps = [(f"n{n}.example", "CNAME", f"n{n + 1}.example.") for n in range(1, length)]
        return answer((NAME, "CNAME", "n1.example."), *steps, (f"n{length}.example", "A", "1.2.3.4"))

    found = heard(chain(MOST_ALIASES))
    assert found is not None
    assert found.addresses == ("1.2.3.4",)
    circle = answer((NAME, "CNAME", "a.example."), ("a.example", "CNAME", f"{NAME}."))
    for endless in (chain(MOST_ALIASES + 1), circle):
        found = heard(endless)
        assert found is not None
        assert found.circular
        assert not found.addresses


def test_what_is_said_of_names_that_nobody_asked_for_is_not_heard() -> None:
    assert heard(answer(("other.example", "A", "6.6.6.6"))) == Answer(0)
    assert heard(answer((NAME, "AAAA", "2001:db8::1"))) == Answer(0)


def test_an_answer_to_another_question_is_nobodys() -> None:
    sound = answer((NAME, "A", "1.2.3.4"))
    others = (question("www.evil.example", Kind.A), question(NAME, Kind.AAAA), question("site.example", Kind.A))
    assert [answers(sound, ID, each) for each in others] == [False] * 3
    assert not answers(sound, ID + 1, ASKED)
    assert not answers(ID.to_bytes(2, "big") + ASKED.wire, ID, ASKED), "a question is no answer"
    assert not answers(sound[:11], ID, ASKED)
    assert answers(sound.replace(b"\x04site", b"\x04SiTe"), ID, ASKED)


def test_an_answer_that_is_cut_anywhere_cannot_be_read() -> None:
    sound = answer((NAME, "CNAME", "a.example."), ("a.example", "A", "1.2.3.4"))
    for end in range(12, len(sound)):
        assert answers(sound[:end], ID, ASKED) in {True, False}
        with pytest.raises(UnreadableError):
            read(sound[:end], ASKED)


@pytest.mark.parametrize(
    "owner",
    [b"\xc0\x0c"[:1], b"\xff\xff", b"\xc0\x22", b"\xc0\x24", b"\x40a\x00", b"\x80a\x00", b"\x3f" + b"a" * 62],
    ids=["half-a-pointer", "beyond", "itself", "forward", "label-kind-1", "label-kind-2", "no-end"],
)
def test_a_name_that_leads_nowhere_cannot_be_read(owner: bytes) -> None:
    head = ID.to_bytes(2, "big") + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + ASKED.asked
    assert len(head) == 0x22
    with pytest.raises(UnreadableError):
        read(
            head + owner + b"\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x01\x02\x03\x04"[: 14 if len(owner) > 1 else 0],
            ASKED,
        )


def test_a_name_grows_no_longer_than_a_name_may_be() -> None:
    label = b"\x3f" + b"a" * 63
    with pytest.raises(UnreadableError):
        name_at(label * 4 + b"\x00", 0, {})
    with pytest.raises(UnreadableError):
        name_at(label * 3 + b"\x00" + label + b"\xc0\x00", 3 * 64 + 1, {0: label * 3 + b"\x00"})


def test_the_largest_message_takes_no_longer_than_its_bytes() -> None:
    """Thousands of records, each a pointer to a name of many labels: read once, and not once each."""
    deep = b"\x01a" * 126 + b"\x00"
    record = b"\xc0\x24" + b"\x00\x05\x00\x01\x00\x00\x00\x00\x00\x02\xc0\x26"  # both lead into the long name
    count = (65_535 - 0x22 - len(deep) - 14) // len(record)
    head = ID.to_bytes(2, "big") + b"\x81\x80\x00\x01" + (count + 1).to_bytes(2, "big") + b"\x00\x00\x00\x00"
    wire = head + ASKED.asked + deep + b"\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x01\x02\x03\x04" + record * count
    began = time.thread_time()
    assert heard(wire) == Answer(0)
    assert time.thread_time() - began < 5.0


def test_of_very_many_addresses_the_first_are_read() -> None:
    many = [f"10.{n // 250}.0.{n % 250}" for n in range(MOST_RECORDS + 500)]
    found = heard(answer((NAME, "A", *many)))
    assert found is not None
    assert found.addresses == tuple(many[:MOST_RECORDS])


def test_an_error_that_echoes_no_question_is_one() -> None:
    bare = ID.to_bytes(2, "big") + b"\x81\x82" + b"\x00" * 8
    assert heard(bare) == Answer(Code.SERVFAIL)
    assert heard(bare[:3] + b"\x85" + bare[4:]) == Answer(Code.REFUSED)
    with pytest.raises(UnreadableError):
        heard(bare[:3] + b"\x80" + bare[4:])


def test_a_name_for_people_holds_nothing_that_moves_their_cursor() -> None:
    assert text_of(b"\x03a\x1bb\x02\xff.\x00") == "a\\x1bb.\\xff."
    assert text_of(b"\x00") == "."


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.data())
def test_no_bytes_make_anything_but_an_answer_or_unreadable(noise: bytes, data: st.DataObject) -> None:
    sound = bytearray(answer((NAME, "CNAME", "a.b.example."), ("a.b.example", "A", "1.2.3.4", "1.2.3.5")))
    for _ in range(data.draw(st.integers(0, 6))):
        sound[data.draw(st.integers(2, len(sound) - 1))] = data.draw(st.integers(0, 255))
    for wire in (noise, ID.to_bytes(2, "big") + noise, bytes(sound[: data.draw(st.integers(0, len(sound)))]) + noise):
        try:
            found = heard(wire)
        except UnreadableError:
            continue
        assert found is None or all(ip_address(each).version == 4 for each in found.addresses)
