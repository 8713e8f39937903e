"""`betterstack sites …` against a real Postgres: the result, the words when it goes wrong, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trustme
from sqlalchemy import Engine, select

from app.api.models import SiteOut
from pipeline.ring import shown
from pipeline.store import tables as t
from tests.integration.conftest import RING, Run, lines


def test_a_site_is_added_by_its_url_alone_and_listed(run: Run) -> None:
    assert (
        "example-com is watched every 180 s: https://example.com" in run("sites", "add", "https://example.com").stdout
    )
    assert lines(run("sites", "list")) == [["example-com", "unknown", "-", "180", "s", "https://example.com"]]


def test_a_site_is_added_with_everything(run: Run) -> None:
    added = run(
        "sites", "add", "https://example.com", "--key=shop", "--name=The shop", "--interval=30", "--timeout=3",
        "--confirmations=0", "--method=HEAD", "--header=X-A: b:c", "--header=Accept:d", "--expect-status=200,300-302",
        "--tag=web", "--tag=core", "--region=eu", "--paused", "--json",
    )  # fmt: skip
    found = json.loads(added.stdout)
    assert set(found) == set(SiteOut.model_fields), "as the API shows it"
    assert {name: found[name] for name in found if not name.endswith("_at")} == {
        "key": "shop",
        "name": "The shop",
        "url": "https://example.com",
        "state": "paused",
        "since": None,
        "interval_s": 30,
        "timeout_s": 3.0,
        "confirmations": 0,
        "spacing_s": 5.0,
        "regions": ["eu"],
        "method": "HEAD",
        "headers": {"X-A": shown(RING.seal("header:X-A", "b:c")), "Accept": "d"},
        "expect": {"status": ["200", "300-302"]},
        "max_redirects": 10,
        "body": "",
        "auth": None,
        "client_certificate": None,
        "verify_tls": True,
        "family": "any",
        "tags": ["core", "web"],
        "paused": True,
    }
    assert json.loads(run("sites", "list", "--json").stdout) == [found]


def test_what_is_expected_is_named_part_by_part_and_edited_part_by_part(run: Run) -> None:
    words = (
        "--expect-status=200", "--expect-body=Welcome", "--expect-body=back", "--expect-no-body=Fatal",
        "--expect-match=order [0-9]+", '--expect-json=$.status == "ok"', "--expect-header=server != nginx",
        "--expect-url=https://a.example/home*", "--expect-min-bytes=10", "--expect-max-bytes=9000",
        "--expect-latency=800", "--expect-tls-days=14",
    )  # fmt: skip
    added = json.loads(run("sites", "add", "https://a.example", "--key=a", *words, "--json").stdout)
    assert added["expect"] == {
        "status": ["200"],
        "body_contains": ["Welcome", "back"],
        "body_absent": ["Fatal"],
        "body_matches": ["order [0-9]+"],
        "json": ['$.status == "ok"'],
        "header": ["server != nginx"],
        "final_url": "https://a.example/home*",
        "min_bytes": 10,
        "max_bytes": 9000,
        "max_latency_ms": 800.0,
        "tls_days": 14,
    }
    edited = ("--expect-body=Hello", "--expect-no-body=", "--expect-url=", "--expect-latency=0", "--interval=30")
    changed = json.loads(run("sites", "edit", "a", *edited, "--json").stdout)
    gone = ("body_absent", "final_url", "max_latency_ms")
    left = {name: value for name, value in added["expect"].items() if name not in gone}
    assert changed["expect"] == left | {"body_contains": ["Hello"]}
    assert (changed["interval_s"], changed["timeout_s"]) == (30, 10.0)
    usual = json.loads(run("sites", "edit", "a", "--expect-status=", "--json").stdout)
    assert usual["expect"]["status"] == ["200-399"]


def test_a_site_is_edited_or_it_says_what_is_wrong(run: Run) -> None:
    run("sites", "add", "https://a.example", "--key=a")
    assert run("sites", "edit", "a", "--name=A", "--method=HEAD").stdout == "a is changed\n"
    assert "the answer to HEAD has no body" in run("sites", "edit", "a", "--expect-body=x", status=2).stderr
    assert "name what is to change" in run("sites", "edit", "a", status=2).stderr
    assert "there is no site 'b'" in run("sites", "edit", "b", "--name=B", status=2).stderr


def test_two_sites_of_one_url_that_expect_different_things_are_two_checks(run: Run) -> None:
    run("sites", "add", "https://a.example", "--key=a", "--expect-body=Welcome")
    run("sites", "add", "https://a.example", "--key=b", "--expect-json=$.ok exists")
    run("sites", "add", "https://a.example", "--key=c")
    same = run("sites", "add", "https://a.example", "--key=d", "--expect-body=Welcome", status=2)
    assert "watched already as 'a'" in same.stderr


def test_secrets_are_read_from_files_and_nowhere_shown(run: Run, tmp_path: Path, store: Engine) -> None:
    (tmp_path / "token").write_text("t0ken-of-mine\n")
    (tmp_path / "headers").write_text("X-Api-Key: k3y-of-mine\nAccept: text/html\n")
    words = ("--bearer", f"@{tmp_path / 'token'}", "--header", f"@{tmp_path / 'headers'}", "--data", "@-")
    added = run("sites", "add", "https://a.example", "--key=a", *words, "--method=POST", "--json", typed="b0dy-of-mine")
    found = json.loads(added.stdout)
    assert found["body"] == shown(RING.seal("body", "b0dy-of-mine"))
    assert found["headers"]["Accept"] == "text/html"
    assert run("secrets", "status").stdout.split()[3:5] == [RING.ids[0], "3"]  # the site, a revision a region
    with store.connect() as connection:
        rows = [str(row) for name in t.metadata.tables.values() for row in connection.execute(select(name))]
    assert not [row for row in rows if "-of-mine" in row]


def test_what_is_sent_is_changed_part_by_part(run: Run, tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("prober.example")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
    sent = ("--header=X-Key: one", "--header=Accept: text/html", "--bearer=t0ken", "--data=b0dy", "--insecure")
    added = json.loads(run("sites", "add", "https://a.example", "--key=a", *sent, "--json").stdout)

    edited = ("--header=x-key: two", "--header=Accept:", "--basic=me:pw", "--redirects=0", f"--cert={tmp_path / 'pem'}")
    changed = json.loads(run("sites", "edit", "a", *edited, "--json").stdout)
    assert list(changed["headers"]) == ["x-key"]
    assert changed["headers"]["x-key"] != added["headers"]["X-Key"]
    assert changed["auth"]["username"] == "me"
    assert (changed["body"], changed["verify_tls"], changed["max_redirects"]) == (added["body"], False, 0)

    emptied = ("--basic=", "--data=", "--cert=", "--verify-tls", "--family=ipv4")
    left = json.loads(run("sites", "edit", "a", *emptied, "--json").stdout)
    assert [left[name] for name in ("auth", "body", "client_certificate", "family")] == [None, "", None, "ipv4"]
    assert (left["verify_tls"], left["headers"]) == (True, changed["headers"])


def test_a_file_without_a_token_takes_no_token_away(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert "--bearer" in run("sites", "add", "https://a.example", f"--bearer=@{tmp_path / 'empty'}", status=2).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["example com"], "URL: a URL has no spaces in it"),
        (["https://example.com", "--interval=0"], "--interval: must be 1 or more"),
        (["https://example.com", "--interval=5", "--timeout=6"], "--timeout: timeout_s (6) is longer"),
        (["https://example.com", "--key=Ä"], "--key: use a-z"),
        (["https://example.com", "--header=no-colon"], "has no colon"),
        (["https://example.com", "--basic=no-colon"], "write user:password"),
        (["https://example.com", "--basic=a:b", "--bearer=c"], "--basic or --bearer"),
        (["https://example.com", "--bearer=two words"], "--bearer: a token is one word"),
        (["https://example.com", "--data=@/nowhere"], "/nowhere cannot be read"),
        (["https://example.com", "--cert=/dev/null"], "--cert: this is no certificate in PEM"),
        (["https://example.com", "--header=a b: c"], "--header: 'a b' is no name of a header"),
        (["https://example.com", "--expect-status=20x"], "is no status or range"),
        (["https://example.com", "--expect-json=status == 1"], "--expect-json: a path begins with $: write $.status"),
        (["https://example.com", "--expect-match=("], "--expect-match: this is no regular expression"),
        (["https://example.com", "--expect-latency=10000"], "--expect-latency: a check is given up after 10000 ms"),
        (["http://example.com", "--expect-tls-days=3"], "--expect-tls-days: there is no TLS on http://"),
        (["https://example.com", "--method=HEAD", "--expect-body=a"], "--expect-body: the answer to HEAD has no body"),
        (["https://example.com", "--region=mars"], "--region: there is no region 'mars'; there are: eu, us"),
        (["https://example.com", "--name=a\x00b"], "--name: there is a NUL character in it"),
        (["https://example.com", "--interval=soon"], "Invalid value for '--interval'"),
    ],
)
def test_a_site_that_cannot_be_is_refused_in_the_words_of_the_command(run: Run, words: list[str], said: str) -> None:
    assert said in " ".join(run("sites", "add", *words, status=2).stderr.split())
    assert json.loads(run("sites", "list", "--json").stdout) == []


def test_the_same_site_again_is_refused(run: Run) -> None:
    run("sites", "add", "https://example.com")
    again = run("sites", "add", "https://example.com", status=2)
    assert again.stderr.startswith("betterstack: URL: this is watched already as 'example-com'")
    run("sites", "add", "https://example.com/", "--key=example-com", status=2)
    assert "example-com-2 is watched" in run("sites", "add", "https://example.com/").stdout


def test_sites_are_listed_by_words_tag_and_state_however_many(run: Run) -> None:
    run("apply", "-", typed=json.dumps({"sites": [
        {"key": f"s{n:04}", "url": f"https://s{n}.example", "tags": ["odd"] if n % 2 else [], "paused": n == 7}
        for n in range(1_001)
    ]}))  # fmt: skip
    assert len(lines(run("sites", "list"))) == 1_001
    assert len(lines(run("sites", "list", "--tag", "odd"))) == 500
    assert [row[0] for row in lines(run("sites", "list", "--search", "S0042"))] == ["s0042"]
    assert [row[0] for row in lines(run("sites", "list", "--state", "paused"))] == ["s0007"]
    assert lines(run("sites", "list", "--state", "down")) == []


def test_sites_are_paused_resumed_checked_and_removed(run: Run, store: Engine) -> None:
    run("sites", "add", "https://a.example", "--key=a")
    run("sites", "add", "https://b.example", "--key=b")
    assert run("sites", "pause", "a", "b").stdout.splitlines() == ["a is paused", "b is paused"]
    assert "resume it" in run("sites", "check", "a", status=2).stderr
    run("sites", "resume", "a")
    assert "a is checked now from 2 regions" in run("sites", "check", "a").stdout
    run("sites", "remove", "a")
    assert [row[:2] for row in lines(run("sites", "list"))] == [["b", "paused"]]
    with store.connect() as connection:
        actors = connection.execute(select(t.audit.c.actor).where(t.audit.c.subject == "a").distinct()).scalars().all()
    assert actors == ["cli"]


@pytest.mark.parametrize("command", ["pause", "resume", "remove", "check"])
def test_a_site_that_is_not_there_is_named_and_the_others_stay(run: Run, command: str) -> None:
    run("sites", "add", "https://a.example", "--key=a")
    words = ["nope"] if command == "check" else ["a", "nope"]
    assert run("sites", command, *words, status=2).stderr == "betterstack: there is no site 'nope'\n"
    assert [row[:2] for row in lines(run("sites", "list"))] == [["a", "unknown"]]


def test_a_url_is_taken_and_named_as_a_box_for_pasting_does(run: Run) -> None:
    run("sites", "add", "shop.example/health/")
    run("sites", "add", "127.0.0.1:9/x")
    found = {site["url"]: site["name"] for site in json.loads(run("sites", "list", "--json").stdout)}
    assert found == {
        "https://shop.example/health/": "shop.example/health",
        "http://127.0.0.1:9/x": "127.0.0.1:9/x",
    }
