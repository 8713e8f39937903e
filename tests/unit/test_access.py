"""What a prober elsewhere is given: keys that follow from a secret, rules that grant little, headers that it opens."""

from __future__ import annotations

import shlex
import stat
import subprocess
import sys
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import structs

from pipeline import secret_key
from pipeline.errors import WorkbenchError
from pipeline.ring import Ring
from pipeline.schedule import Slot
from pipeline.settings import Settings
from pipeline.vocabulary import Check, Network, Outcome, Region, Revision, Spec
from workers import access, joining
from workers.due import step
from workers.sealing import Opener, SealedError, Sealer
from workers.wire import pack, unpack_check, unpack_tick

SECRET = b"k" * 44
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EU = Region(7, "eu", "Europe", managed=False)
SPEC = Spec("https://example.org/", headers={"X-Api-Key": "hunter2", "X-Other": "ünïcode"})
CHECK = Check(1, 7, NOW, revision=3, interval_s=10, spec=SPEC)
SEALED = Sealer(Ring([SECRET])).seal(CHECK, EU)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SECRET_KEY", "REGION_KEY", "REDIS_CA", "DATABASE_URL", "REDIS_URL", "SECRETS_DIR"):
        monkeypatch.delenv(f"BETTERSTACK_{name}", raising=False)
    monkeypatch.setenv("BETTERSTACK_DATA_DIR", str(tmp_path))


def elsewhere(**given: Any) -> Settings:
    return Settings(redis_url="rediss://h", **given)


# --- what is derived ------------------------------------------------------------------------------------------------


def test_keys_are_derived_as_the_rfc_says() -> None:
    """Held against another implementation of RFC 5869."""
    info = b"region key\x007\x00eu\x001"
    theirs = HKDF(SHA256(), length=32, salt=b"betterstack-workbench 1", info=info).derive(SECRET)
    assert access.derived(SECRET, "region key", EU) == theirs
    assert urlsafe_b64decode(access.region_key(SECRET, EU) + "=") == theirs


def test_each_credential_is_its_own_and_rotating_changes_both() -> None:
    others = [
        EU,
        structs.replace(EU, access=2),
        structs.replace(EU, id=8),  # removed, and added again with the same key
        structs.replace(EU, key="us"),
    ]
    made = [make(SECRET, region) for make in (access.password, access.region_key) for region in others]
    assert len(set(made)) == len(made)
    assert access.password(b"another secret", EU) not in made


# --- what a region's user may do ------------------------------------------------------------------------------------


def test_a_regions_user_may_do_what_a_prober_does_and_no_more() -> None:
    assert access.rules("eu", "pw") == (
        "reset",
        "on",
        "#30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4",
        "+ping",
        "+client|setname",
        "+client|setinfo",
        "+multi",
        "+exec",
        "+discard",
        "(%RW~checks:{eu} +xreadgroup +xpending +xclaim +xinfo|consumers +xack +xdel +xadd +xgroup|delconsumer)",
        "(%W~ticks:{eu} %W~dead:{eu} +xadd)",
        "(%W~lease:{eu}:* +set +del +exists)",
    )


def test_another_database_and_a_cluster_add_the_little_that_they_need() -> None:
    plain = set(access.rules("eu", "pw"))
    assert set(access.rules("eu", "pw", database=3)) - plain == {"+select|3"}
    assert set(access.rules("eu", "pw", cluster=True)) - plain == {"+cluster|slots"}


@pytest.mark.parametrize("key", ["*", "e?", "eu}:x", "e u", ""])
def test_a_key_that_a_rule_would_take_for_a_pattern_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="no key of a region"):
        access.rules(key, "pw")


def test_only_users_with_our_rules_are_ours_to_delete() -> None:
    ours = f"user region-eu on #{access.password_hash('pw')} resetchannels -@all +ping (%RW~checks:{{eu}} -@all +xadd)"
    found = access.users_in(["user default on nopass ~* &* +@all", ours, "user region-east on nopass ~* +@all"])
    assert found == {"eu": ours}
    assert access.admits(ours, access.rules("eu", "pw"))
    assert not access.admits(ours, access.rules("eu", "another"))


@pytest.mark.parametrize(
    ("line", "is_open"),
    [
        ("user default on nopass sanitize-payload ~* &* +@all", True),
        ("user default on sanitize-payload #30c952fa ~* &* +@all", False),
        ("user default off nopass ~* &* +@all", False),
        ("user health on nopass resetchannels -@all +ping", False),
    ],
)
def test_a_redis_that_asks_for_no_password_is_seen(line: str, is_open: bool) -> None:
    assert access.is_open(["user region-eu on #30c952fa -@all", line]) == is_open


def test_a_lease_proves_the_key_without_showing_it() -> None:
    key = access.region_key(SECRET, EU)
    shown = Opener("eu", elsewhere(region_key=key)).proof("eu-1a2b")
    assert shown is not None
    assert key not in shown
    assert access.proven(shown, SECRET, EU, "eu-1a2b") == "right"
    assert access.proven(shown, SECRET, EU, "eu-other") == "wrong"
    assert access.proven(shown, SECRET, structs.replace(EU, access=2), "eu-1a2b") == "wrong"
    assert access.proven(None, SECRET, EU, "eu-1a2b") == "missing"


# --- sealed headers -------------------------------------------------------------------------------------------------


def test_sealed_headers_open_with_their_regions_key_and_show_nothing_on_the_way() -> None:
    entry = pack(Sealer(Ring([SECRET])).seal(CHECK, EU))
    assert b"X-Api-Key" in entry[b"1"]
    assert b"hunter2" not in entry[b"1"]
    assert Opener("eu", elsewhere(region_key=access.region_key(SECRET, EU))).open(unpack_check(entry)) == (
        SPEC,
        Network(),
    )


def test_a_prober_beside_the_workbench_opens_them_with_the_secret_key() -> None:
    sealed = Sealer(Ring([SECRET])).seal(CHECK, EU)
    assert Opener("eu", Settings(secret_key=SECRET.decode())).open(sealed) == (SPEC, Network())


@pytest.mark.parametrize(
    "moved",
    [
        {"site_id": 2},
        {"region_id": 8},
        {"spec": structs.replace(SEALED.spec, url="https://evil.example/")},
        {"network": Network(proxy="http://evil.example:1")},
        {"spec": structs.replace(SPEC, headers={"X-Api-Key": "no base64!"})},
        {"spec": structs.replace(SPEC, headers={"X-Api-Key": "c2hvcnQ="})},
    ],
    ids=str,
)
def test_what_was_moved_or_broken_does_not_open(moved: dict[str, Any]) -> None:
    key = access.region_key(SECRET, EU)
    with pytest.raises(SealedError, match="BETTERSTACK_REGION_KEY"):
        Opener("eu", elsewhere(region_key=key)).open(structs.replace(SEALED, **moved))


def test_a_value_does_not_open_under_another_headers_name() -> None:
    sealed = Sealer(Ring([SECRET])).seal(CHECK, EU)
    swapped = structs.replace(sealed.spec, headers={"X-Other": sealed.spec.headers["X-Api-Key"]})
    with pytest.raises(SealedError):
        Opener("eu", elsewhere(region_key=access.region_key(SECRET, EU))).open(structs.replace(sealed, spec=swapped))


@pytest.mark.parametrize("region", [None, structs.replace(EU, access=2)], ids=["no key", "the key of before"])
def test_without_the_right_key_it_is_said_what_to_set(region: Region | None) -> None:
    key = None if region is None else access.region_key(SECRET, region)
    with pytest.raises(SealedError, match=r"BETTERSTACK_REGION_KEY.*betterstack region join-command eu"):
        Opener("eu", elsewhere(region_key=key)).open(Sealer(Ring([SECRET])).seal(CHECK, EU))


def test_what_was_sent_before_the_key_was_rotated_is_opened_for_a_while(tmp_path: Path) -> None:
    """A confirmation waits up to some minutes, sealed as it was sent."""
    settings, other, at = Settings(data_dir=tmp_path), b"o" * 44, [0.0]
    confirmation = structs.replace(SEALED, attempt=1)
    secret_key.write(settings, [SECRET])
    opener = Opener("eu", settings, clock=lambda: at[0])
    assert opener.open(SEALED) == (SPEC, Network())
    at[0] = 86_400.0  # nothing was opened since: it was the same check each time
    secret_key.write(settings, [other])
    assert opener.open(Sealer(Ring([other])).seal(CHECK, EU)) == (SPEC, Network())
    assert opener.open(confirmation) == (SPEC, Network())
    at[0] += 2 * 3600
    assert opener.open(Sealer(Ring([other])).seal(CHECK, EU)) == (SPEC, Network())
    with pytest.raises(SealedError, match="does not open"):
        opener.open(confirmation)


def test_a_key_that_is_none_is_refused_before_any_check() -> None:
    with pytest.raises(WorkbenchError, match="BETTERSTACK_REGION_KEY is not a key"):
        Opener("eu", elsewhere(region_key="half-of-it"))


def test_headers_are_sealed_once_a_revision() -> None:
    sealer = Sealer(Ring([SECRET]))
    first = sealer.seal(CHECK, EU)
    again = sealer.seal(structs.replace(CHECK, scheduled_at=NOW + timedelta(seconds=10)), EU)
    assert again.spec is first.spec
    for check, region in [(structs.replace(CHECK, revision=4), EU), (CHECK, structs.replace(EU, access=2))]:
        newer = sealer.seal(check, region)
        assert newer.spec.headers != first.spec.headers
        assert newer.sealed == region.access


def test_what_needs_no_seal_is_sent_as_it_is_and_loads_no_cryptography() -> None:
    script = """
import sys
from datetime import UTC, datetime
import workers.prober
from pipeline.ring import Ring
from pipeline.settings import Settings
from pipeline.vocabulary import Check, Region, Spec
from workers.sealing import Opener, Sealer
at = datetime(2026, 1, 1, tzinfo=UTC)
for headers in ({}, {"Accept": "text/html", "User-Agent": "us"}):
    check = Check(1, 7, at, 3, 10, Spec("https://a", headers=headers))
    assert Sealer(Ring([b"k" * 44])).seal(check, Region(7, "eu", "")) is check
    assert Opener("eu", Settings()).open(check)[0] is check.spec
sys.exit("cryptography is loaded" if "cryptography.hazmat" in sys.modules else 0)  # redis-py asks for its version
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_secret_key_nothing_goes_out_in_plain() -> None:
    revision = Revision(3, 1, 7, NOW, True, 10, SPEC, Network())
    push = step([Slot(NOW, revision)], {7: EU}, now=NOW, epoch=1, sealer=Sealer(Ring()))
    assert list(push.entries) == ["ticks:{eu}"]
    tick = unpack_tick(push.entries["ticks:{eu}"][0])
    assert (tick.outcome, tick.final) == (Outcome.BLOCKED, True)
    assert "BETTERSTACK_SECRET_KEY" in (tick.detail or "")


# --- the secret key -------------------------------------------------------------------------------------------------


def test_the_embedded_default_makes_its_secret_once_for_its_owner_alone(tmp_path: Path) -> None:
    assert secret_key.ring(Settings()).first is None
    made = secret_key.ensure(Settings())
    file = tmp_path / "secret.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(urlsafe_b64decode(made)) == 32
    file.chmod(0o644)  # as a backup may bring it back
    as_a_role_sees_it = Settings(database_url=Settings().database, redis_url=Settings().redis)
    assert secret_key.ring_where_ours(as_a_role_sees_it).first == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["secret.key"]


def test_a_secret_that_is_given_is_the_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret_key.ensure(Settings())
    (tmp_path / "betterstack_secret_key").write_text("s" * 40 + "\n")
    monkeypatch.setenv("BETTERSTACK_SECRETS_DIR", str(tmp_path))
    assert secret_key.ensure(Settings()) == b"s" * 40


def test_servers_of_ones_own_need_a_secret_of_ones_own() -> None:
    own = Settings(database_url="postgresql://h", redis_url="redis://h")
    assert secret_key.ring_where_ours(own).first is None
    with pytest.raises(WorkbenchError, match="set BETTERSTACK_SECRET_KEY"):
        secret_key.ensure(own)
    with pytest.raises(WorkbenchError, match=r"BETTERSTACK_SECRET_KEY has 5 letters.*openssl rand"):
        secret_key.ring(Settings(secret_key="short"))


# --- what to run there ----------------------------------------------------------------------------------------------


def test_what_to_run_there_holds_the_regions_credentials_and_none_of_ours() -> None:
    url = "rediss://admin:ours@[2001:db8::1]:6380/2"
    join = joining.join(EU, SECRET, url, image="image", own_authority=True)
    password = access.password(SECRET, EU)
    assert join.environment["BETTERSTACK_REDIS_URL"] == f"rediss://region-eu:{password}@[2001:db8::1]:6380/2"
    words = shlex.split(joining.script(join), comments=True)
    assert words[-4:] == ["betterstack", "prober", "--region", "eu"]
    assert f"BETTERSTACK_REGION_KEY={access.region_key(SECRET, EU)}" in words
    assert "ours" not in words
    assert password not in " ".join(join.container), "a command line is seen by everybody on that machine"


@pytest.mark.parametrize(
    ("public", "own", "says"),
    [
        (None, None, "by a socket only.*BETTERSTACK_PUBLIC_REDIS_URL"),
        (None, "rediss://127.0.0.1:6380", "by a local address only.*BETTERSTACK_PUBLIC_REDIS_URL"),
        ("redis://h:6379", None, "BETTERSTACK_PUBLIC_REDIS_URL is redis://.*--insecure"),
        (None, "redis+cluster://h:6379", r"BETTERSTACK_REDIS_URL is redis\+cluster://.*rediss\+cluster://"),
        ("h:6379", None, "write rediss://host:port"),
    ],
)
def test_an_address_that_will_not_do_is_refused_and_says_what_to_set(
    public: str | None, own: str | None, says: str
) -> None:
    with pytest.raises(WorkbenchError, match=says):
        joining.public_url(public, own, insecure=False)


def test_addresses_that_others_reach_are_taken() -> None:
    assert joining.public_url("rediss://h:1", "redis://127.0.0.1", insecure=False) == "rediss://h:1"
    assert joining.public_url(None, "rediss://u:p@h:1/0?ssl_ca_certs=/here", insecure=False) == "rediss://u:p@h:1/0"
    assert joining.public_url("redis://h:1", None, insecure=True) == "redis://h:1"


def test_an_authority_of_ones_own_is_believed_only_where_there_is_tls(tmp_path: Path) -> None:
    authority = tmp_path / "c a.pem"
    authority.write_text("")
    assert Settings(redis_url="rediss://h/1", redis_ca=authority).redis.startswith("rediss://h/1?ssl_ca_certs=")
    assert Settings(redis_url="redis://h", redis_ca=authority).redis == "redis://h"
