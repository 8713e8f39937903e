"""Secrets: what is one, what it looks like sealed, what comes back, and which keys open it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from pydantic import ValidationError

from pipeline import secret_key, secrets
from pipeline.declared import RegionIn, SiteIn, parse
from pipeline.errors import InvalidInputError, WorkbenchError
from pipeline.ring import LockedError, Ring, is_shown, is_stored, key_id, shown
from pipeline.settings import Settings
from pipeline.vocabulary import Auth, Network, Site, Spec

OLD, NEW = b"o" * 44, b"n" * 44
RING = Ring([NEW])
BOTH = Ring([NEW, OLD])
SPEC = Spec(
    "https://a.example",
    headers={"X-Api-Key": "k3y", "Accept": "text/html", "X-Empty": ""},
    body="b0dy",
    auth=Auth("pw", "us"),
    client_certificate="pem",
)
NETWORK = Network(proxy="http://us:p%40w@proxy:3128", resolvers=("9.9.9.9",))
NAMES = ["header:X-Api-Key", "body", "auth", "client_certificate", "proxy"]
FIELDS = {
    "headers": {"X-Api-Key": "k3y", "Accept": "text/html"},
    "body": "b0dy",
    "auth": {"token": "t0ken"},
    "client_certificate": None,
}


def ring() -> Ring:
    return RING


def stored(fields: dict[str, Any], before: dict[str, Any] | None = None, ring: Ring = RING) -> dict[str, Any]:
    found, flaws = secrets.stored_fields(fields, before or {}, lambda: ring)
    assert not flaws
    return found


# --- the ring -------------------------------------------------------------------------------------------------------


@given(name=st.sampled_from(NAMES), value=st.text(min_size=1))
def test_whatever_is_sealed_opens_to_what_it_was_and_looks_like_nothing(name: str, value: str) -> None:
    sealed = RING.seal(name, value)
    assert is_stored(sealed)
    assert is_shown(shown(sealed))
    assert RING.open(name, sealed) == value
    assert len(value) < 8 or value not in sealed


@given(value=st.text(min_size=1), other=st.text(min_size=1))
def test_the_same_secret_is_the_same_text_and_another_is_another(value: str, other: str) -> None:
    assert RING.seal("body", value) == RING.seal("body", value)
    assert (RING.seal("body", value) == RING.seal("body", other)) == (value == other)
    assert RING.seal("body", value) != RING.seal("auth", value)


@given(value=st.text(min_size=1, max_size=40), place=st.integers(min_value=0), letter=st.sampled_from("Aa0_"))
def test_what_was_changed_does_not_open_and_breaks_nothing(value: str, place: int, letter: str) -> None:
    sealed = RING.seal("body", value)
    place = 25 + place % (len(sealed) - 25)
    broken = sealed[:place] + letter + sealed[place + 1 :]
    with suppress(LockedError):
        assert RING.open("body", broken) == value  # bits of the last letter that base64 has no use for


@given(text=st.text())
def test_no_text_makes_it_break(text: str) -> None:
    for odd in (text, f"sealed:{text}", f"sealed:{RING.ids[0]}:00000000:{text}"):
        assert is_shown(shown(odd))
        if not is_stored(odd):
            assert RING.open("body", odd) == odd


def test_a_secret_opens_under_its_own_name_only() -> None:
    sealed = RING.seal("header:X-Api-Key", "k3y")
    assert RING.open("header:x-api-key", sealed) == "k3y"
    with pytest.raises(LockedError, match="is another's"):
        RING.open("header:X-Other", sealed)


def test_the_first_key_seals_and_each_opens_what_it_sealed() -> None:
    old = Ring([OLD]).seal("body", "b0dy")
    assert BOTH.open("body", old) == "b0dy"
    assert key_id(BOTH.seal("body", "b0dy")) == RING.ids[0]
    assert BOTH.renewed("body", old) == RING.seal("body", "b0dy")
    with pytest.raises(LockedError, match=f"{key_id(old)}.*not at hand"):
        RING.open("body", old)


def test_a_ring_shows_no_key() -> None:
    assert NEW.decode() not in repr(RING) + str(RING)
    assert all(key_id not in NEW.decode() for key_id in RING.ids)


def test_no_key_of_another_use_is_the_same_and_a_prober_without_secrets_loads_no_cryptography() -> None:
    script = (
        "import sys; import workers.prober, pipeline.secrets, pipeline.secret_key;"
        "sys.exit('cryptography.hazmat' in sys.modules or 'sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0


# --- what is secret -------------------------------------------------------------------------------------------------


def test_a_checks_secrets_are_all_but_the_harmless_headers() -> None:
    assert secrets.secrets_of(SPEC, NETWORK) == dict(zip(NAMES, ["k3y", "b0dy", "pw", "pem", "us:p%40w"], strict=True))
    assert secrets.has_secrets(SPEC, NETWORK)
    assert secrets.secrets_of(Spec("https://a", headers={"accept": "x", "USER-AGENT": "y"})) == {}


@pytest.mark.parametrize(
    "spec",
    [
        Spec("https://a"),
        Spec("https://a", headers={"Accept": "x", "X-Empty": ""}),
        Spec("https://a", headers={"Cookie": "c"}),
        Spec("https://a", body="b"),
        Spec("https://a", auth=Auth("t")),
        Spec("https://a", client_certificate="c"),
    ],
)
def test_the_quick_question_answers_as_the_list_does(spec: Spec) -> None:
    assert secrets.has_secrets(spec, Network()) == bool(secrets.secrets_of(spec))


def test_secrets_are_put_in_where_they_were_taken_from() -> None:
    marked = {name: f"*{name}*" for name in NAMES}
    spec, network = secrets.with_secrets(SPEC, marked), secrets.with_proxy_secret(NETWORK, marked)
    assert secrets.secrets_of(spec, network) == marked
    assert spec.headers["Accept"] == "text/html"
    assert network.proxy == "http://*proxy*@proxy:3128"
    assert secrets.with_secrets(spec, secrets.secrets_of(SPEC)) == SPEC
    assert secrets.without_credentials(NETWORK.proxy) == "http://@proxy:3128"


def test_nothing_secret_is_in_what_a_traceback_would_show() -> None:
    site = SiteIn.model_validate({"key": "a", "url": "https://a.example"} | FIELDS)
    with pytest.raises(ValidationError) as raw:
        SiteIn.model_validate({"key": "a", "headers": {"X": ["k3y"]}, "body": 5, "auth": {"token": "t0ken t0ken"}})
    told = [
        str(raw.value),
        *(repr(each) for each in (SPEC, SPEC.auth, NETWORK, site, site.auth, RegionIn(key="r", proxy=NETWORK.proxy))),
    ]
    for secret in ("k3y", "b0dy", "pw'", "pem", "p%40w", "t0ken"):
        assert not [each for each in told if secret in each], secret
    assert "k3y" not in repr(structs.replace(_site(), headers={"X": "k3y"}))


def _site() -> Site:
    names = dict.fromkeys(Site.__struct_fields__)
    return Site(**names)  # type: ignore[arg-type]


# --- what is kept, what is shown, what comes back -------------------------------------------------------------------


def test_what_is_kept_is_sealed_and_what_is_shown_takes_no_key() -> None:
    kept = stored(FIELDS)
    assert kept["headers"]["Accept"] == "text/html"
    assert all(map(is_stored, secrets.declared(kept).values()))
    seen = secrets.shown_fields(kept)
    assert all(map(is_shown, secrets.declared(seen).values()))
    assert seen["client_certificate"] is None


def test_what_is_shown_means_as_it_was() -> None:
    kept = stored(FIELDS)
    assert stored(secrets.shown_fields(kept), kept, Ring()) == kept, "no key is needed for what stays"
    assert stored(FIELDS, kept) == kept, "nor is the same secret written out a change"
    renamed = {"headers": {"x-api-key": shown(kept["headers"]["X-Api-Key"])}}
    assert stored(renamed, kept) == {"headers": {"x-api-key": kept["headers"]["X-Api-Key"]}}


def test_the_same_secret_under_an_older_key_is_no_change() -> None:
    kept = stored(FIELDS, ring=Ring([OLD]))
    assert stored(FIELDS, kept, BOTH) == kept
    assert stored(FIELDS, kept, RING) == stored(FIELDS), "where the old key is gone it is written anew"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("sealed:0123abcd", "not the one that is: write it out"),
        ("sealed:anything", "write the secret itself"),
        (RING.seal("body", "another's"), "write the secret itself"),
    ],
)
def test_what_only_looks_sealed_is_refused(typed: str, says: str) -> None:
    for before in ({}, stored(FIELDS)):
        _, [flaw] = secrets.stored_fields({"body": typed}, before, ring)
        assert flaw.field == "body"
        assert says in flaw.message


def test_what_stands_for_one_secret_stands_for_no_other() -> None:
    kept = stored(FIELDS)
    moved = {"headers": {"X-Other": shown(kept["headers"]["X-Api-Key"])}}
    _, [flaw] = secrets.stored_fields(moved, kept, ring)
    assert flaw.field == "headers.X-Other"


def test_a_secret_without_a_key_is_refused_and_says_what_to_set() -> None:
    _, flaws = secrets.stored_fields(FIELDS, {}, Ring)
    assert [flaw.field for flaw in flaws] == ["headers.X-Api-Key", "body", "auth"]
    assert all("BETTERSTACK_SECRET_KEY" in flaw.message for flaw in flaws)
    assert "k3y" not in str(flaws)
    assert stored({"headers": {"Accept": "text/html"}, "body": ""}, ring=Ring())


@pytest.mark.parametrize(
    ("keys", "says"), [("short", "5 letters"), (f"{'k' * 40},short", "5 letters"), (None, "cannot be read")]
)
def test_a_secret_with_a_key_that_cannot_be_used_is_refused_and_says_why(
    keys: str | None, says: str, tmp_path: Path
) -> None:
    if keys is None:
        (tmp_path / "secret.key").mkdir()
    settings = Settings(data_dir=tmp_path, secret_key=keys, database_url=None, redis_url=None)
    _, flaws = secrets.stored_fields(FIELDS, {}, lambda: secret_key.ring_where_ours(settings))
    assert [flaw.field for flaw in flaws] == ["headers.X-Api-Key", "body", "auth"]
    assert all(says in flaw.message for flaw in flaws)
    assert "k3y" not in str(flaws)


def test_a_secret_that_an_older_release_left_plain_is_never_shown_and_sealed_by_the_way() -> None:
    seen = secrets.shown_fields(FIELDS)
    assert "b0dy" not in str(seen)
    assert stored(seen, FIELDS) == stored(FIELDS)


@given(password=st.text(min_size=1).filter(lambda text: "@" not in text and "/" not in text))
def test_a_proxy_keeps_everything_but_its_credentials(password: str) -> None:
    fields = {"proxy": f"http://us:{password}@proxy:3128"}
    if "?" in password or "#" in password:
        return
    kept = stored(fields)
    assert kept["proxy"].endswith("@proxy:3128")
    assert password not in kept["proxy"] or len(password) < 8
    assert secrets.opened(secrets.declared(kept), RING) == {"proxy": f"us:{password}"}
    parse(RegionIn, {"key": "a"} | secrets.shown_fields(kept))


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("auth", {"token": "two words"}, "one word"),
        ("auth", {"token": "line\nbreak"}, "one word"),
        ("auth", {"username": "a:b", "password": "c"}, "no colon"),
        ("client_certificate", "v3ry-secret", "client_certificate: "),
        ("headers", {"X-A": "v3ry-secret\r\nX-B: 1"}, "line break"),
        ("headers", {"X-A": ["v3ry-secret"]}, "must be text"),
        ("body", ["v3ry-secret"], "must be text"),
        ("auth", "v3ry-secret", "must be fields"),
    ],
)
def test_a_refusal_does_not_repeat_the_secret(field: str, value: object, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as refused:
        parse(SiteIn, {"key": "a", "url": "https://a.example", field: value})
    assert "v3ry-secret" not in str(refused.value)


def test_a_body_is_kept_to_the_letter() -> None:
    assert SiteIn(key="a", url="https://a.example", body=" a\n").body == " a\n"


# --- the key file ---------------------------------------------------------------------------------------------------


def test_keys_stand_newest_first_with_commas_or_lines_between(tmp_path: Path) -> None:
    for text in (f"{'n' * 44},{'o' * 44}", f"{'n' * 44}\n{'o' * 44}\n", f" {'n' * 44} ,\n {'o' * 44},"):
        assert secret_key.ring(Settings(secret_key=text)) == BOTH
    (tmp_path / "secret.key").write_bytes(NEW + b"\n" + OLD + b"\n")
    settings = Settings(data_dir=tmp_path, secret_key=None)
    assert secret_key.ring(settings) == BOTH
    assert secret_key.ring(settings).first == NEW
    with pytest.raises(WorkbenchError, match="has 5 letters") as refused:
        secret_key.ring(Settings(secret_key=f"{'n' * 44},short"))
    assert "short" not in str(refused.value)


def test_a_role_that_runs_sees_a_new_key_in_the_file(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, secret_key=None, database_url=None, redis_url=None)
    keyring = secret_key.Keyring(settings)
    assert not keyring()
    first = secret_key.ensure(settings)
    assert keyring().keys == (first,)
    both = secret_key.with_new_key(settings)
    assert keyring() == both
    assert both.keys[1:] == (first,)
    secret_key.write(settings, both.keys[:1])
    assert keyring().keys == both.keys[:1]
    assert (tmp_path / "secret.key").stat().st_mode & 0o077 == 0
    assert [each.name for each in tmp_path.iterdir()] == ["secret.key"]
