"""Words of others on our pages: shown, never obeyed."""

from __future__ import annotations

import pytest

from app.components.words import plain, shortened, unlinked, unturned, verbatim


def test_a_mark_that_turns_the_line_around_is_shown_and_turns_nothing() -> None:
    assert unturned("saved \u202eoga\u2066") == "saved \ufffdoga\ufffd"
    assert "\u202e" not in plain("a\u202eb") + verbatim("a\u202eb") + unlinked("a\u202e http://b\u202e")


def test_what_is_written_from_right_to_left_ends_where_it_ends() -> None:
    assert unturned("\u0645\u0631") == "\u2068\u0645\u0631\u2069"
    assert unturned("Za\u017c\u00f3\u0142\u0107") == "Za\u017c\u00f3\u0142\u0107"


@pytest.mark.parametrize("address", ["http://evil.example/x", "www.evil.example", "me@evil.example", "HTTPS://E.x/`a"])
def test_an_address_in_the_words_of_a_server_is_no_link(address: str) -> None:
    said = unlinked(f"Redirects in a circle, back to {address} \u00b7 *eu*")
    assert f" `{address.replace('`', chr(39))}` " in said
    assert said.endswith(r"\*eu\*")


def test_what_is_shortened_takes_no_more_than_its_room() -> None:
    assert shortened("short", 5) == "short"
    assert shortened("longer than that", 7) == "longer\u2026"
    assert shortened("\u4e2d" * 10, 8) == "\u4e2d" * 3 + "\u2026"
