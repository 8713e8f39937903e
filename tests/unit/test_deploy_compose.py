"""Dockerfile and docker-compose.yml: what keeps the house shut, and what would break unseen without an engine here."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.api.gate import Gate
from pipeline.errors import WorkbenchError
from pipeline.settings import Settings
from tests.deployed import ROOT, compose, dockerfile, health_command, image_environment, last, our_services, secrets_of
from workers import cli
from workers.commands.up import refuse_exposed

SERVICES = compose()["services"]
PINNED = re.compile(r"[\w./-]+:\d+(\.\d+){1,2}(-[\w.-]+)?(@sha256:[0-9a-f]{64})?")


def test_the_image_is_pinned_and_runs_as_nobody_in_particular() -> None:
    stages = [each.rest.split() for each in dockerfile() if each.word == "FROM"]
    names = {stage[2] for stage in stages if len(stage) > 1}
    bases = {stage[0] for stage in stages} - names
    assert bases
    assert all(PINNED.fullmatch(base) for base in bases)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last("USER")), "Kubernetes cannot tell that a name is not root's"
    assert last("ENTRYPOINT") == '["betterstack"]'
    assert "ADD" not in {each.word for each in dockerfile()}


def test_everything_that_is_installed_has_a_hash() -> None:
    for lock in ("requirements.lock", "deploy/build.lock"):
        lines = [line for line in (ROOT / lock).read_text().splitlines() if not line.lstrip().startswith("#")]
        pairs = [(line, after) for line, after in pairwise(lines) if not line.startswith(" ")]
        assert pairs
        assert all("==" in line and "--hash=sha256:" in after for line, after in pairs)
    installs = [each.rest for each in dockerfile() if each.word == "RUN" and " install " in each.rest]
    assert installs
    assert all("--require-hashes" in each or "--no-index" in each for each in installs)


def test_the_image_is_built_by_the_backend_that_the_project_names() -> None:
    [wanted] = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    requirement = Requirement(wanted)
    locked = re.search(r"^([\w-]+)==(\S+)", (ROOT / "deploy/build.lock").read_text(), re.MULTILINE)
    assert locked
    assert canonicalize_name(locked[1]) == canonicalize_name(requirement.name)
    assert locked[2] in requirement.specifier
    assert wanted in (ROOT / "Makefile").read_text(), "`make lock` asks for the same"


def test_the_builder_is_given_what_it_copies_and_nothing_else() -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert ignored[0] == "*"
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copies = [each.rest.split() for each in dockerfile() if each.word == "COPY" and "--from" not in each.rest]
    copied = {source for words in copies for source in words[:-1]}
    assert copied == let_in
    assert all((ROOT / source).exists() for source in copied)


def test_what_a_read_only_image_writes_goes_to_tmp() -> None:
    assert image_environment()["HOME"] == last("WORKDIR") == "/tmp"
    assert image_environment()["BETTERSTACK_ALIVE_FILE"].startswith("/tmp/")
    assert "BETTERSTACK_ALIVE_FILE" in " ".join(health_command())


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_may_do_as_little_as_it_can(name: str) -> None:
    service = SERVICES[name]
    assert PINNED.fullmatch(service["image"])
    assert service["read_only"]
    assert service["tmpfs"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert service["stop_grace_period"]
    assert not {"privileged", "network_mode", "pid", "cap_add"} & service.keys()


def test_no_password_stands_in_an_environment_or_on_a_command_line() -> None:
    for service in SERVICES.values():
        words = [*map(str, service["command"]), *map(str, service.get("environment", {}).values())]
        assert not any(re.search(r"://\S*:\S*@|requirepass", word) for word in words)
        named = [
            each for each in service.get("environment", {}) if "PASSWORD" in each or each.endswith(("KEY", "_URL"))
        ]
        assert all(each.endswith("_FILE") for each in named)


def test_every_secret_that_is_used_is_declared_as_a_file_that_git_ignores() -> None:
    used = {source for service in SERVICES.values() for source in secrets_of(service).values()}
    declared = compose()["secrets"]
    assert used == declared.keys()
    assert all(each["file"] == f"deploy/secrets/{name}" for name, each in declared.items())
    assert (ROOT / "deploy/.gitignore").read_text().split() == ["secrets/"]


@pytest.mark.parametrize(
    ("server", "secret", "network"), [("postgres", "database", "data"), ("valkey", "redis", "wire")]
)
def test_who_has_the_key_to_a_server_reaches_it_and_nobody_else_does(server: str, secret: str, network: str) -> None:
    assert compose()["networks"][network] == {"internal": True}
    assert network in SERVICES[server]["networks"]
    for name, service in our_services().items():
        has_key = f"betterstack_{secret}_url" in secrets_of(service)
        assert has_key == (network in service["networks"]), name
        waits = service["depends_on"].get(server, {}).get("condition") == "service_healthy"
        assert has_key == waits, name


def test_a_role_is_given_the_servers_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "SECRETS_DIR"):
        monkeypatch.delenv(f"BETTERSTACK_{name}", raising=False)
    for service in our_services().values():
        with monkeypatch.context() as patch:
            for target in secrets_of(service):
                if target.endswith("_url"):
                    patch.setenv(target.upper(), "somewhere")
            cli.read_settings(service["command"][0])


def test_nobody_meets_older_tables() -> None:
    for name, service in our_services().items():
        if "betterstack_database_url" in secrets_of(service) and name != "migrate":
            assert service["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_nothing_but_the_app_is_published_and_that_on_loopback() -> None:
    assert {name: each["ports"] for name, each in SERVICES.items() if "ports" in each} == {
        "app": ["127.0.0.1:8501:8501"]
    }
    outward = {name for name, each in SERVICES.items() if not {"data", "wire"}.issuperset(each["networks"])}
    assert outward == {"app", "supervisor", "prober-eu"}


def test_the_app_in_its_container_answers_to_loopbacks_names_only() -> None:
    environment = SERVICES["app"]["environment"]
    settings = Settings(host=environment["BETTERSTACK_HOST"], allowed_hosts=environment["BETTERSTACK_ALLOWED_HOSTS"])
    refuse_exposed(settings.host, insecure=bool(settings.allowed_hosts))
    assert judged(settings.host, settings.called, "localhost:8501") is None
    assert judged(settings.host, settings.called, "127.0.0.1:8501") is None
    refused = judged(settings.host, settings.called, "evil.example:8501")
    assert refused is not None
    assert refused[0] == 421
    assert "BETTERSTACK_ALLOWED_HOSTS" in refused[1]


def test_private_addresses_are_no_sites_unless_whoever_runs_it_says_so() -> None:
    for name, service in our_services().items():
        assert service["environment"]["BETTERSTACK_PRIVATE_TARGETS"] == "${BETTERSTACK_PRIVATE_TARGETS:-deny}", name


def test_the_app_alone_refuses_to_listen_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uvicorn.Server.run", lambda _self: pytest.fail("it listened"))
    with pytest.raises(WorkbenchError, match="BETTERSTACK_ALLOWED_HOSTS=localhost"):
        cli._serve(Settings(host="0.0.0.0", allowed_hosts=""))


@pytest.mark.parametrize(("allowed", "host"), [(["uptime.example"], "uptime.example"), (["*"], "any.example")])
def test_a_name_that_was_allowed_is_ours(allowed: list[str], host: str) -> None:
    assert judged("0.0.0.0", allowed, host) is None


def test_valkey_for_probers_elsewhere_is_the_same_with_tls_added() -> None:
    there = compose("deploy/compose.remote.yml")
    base, remote = SERVICES["valkey"]["command"], there["services"]["valkey"]["command"]
    assert remote[: len(base)] == base, "a command is replaced as a whole"
    files = {word for word in remote[len(base) :] if word.startswith("/run/secrets/")}
    secrets = there["services"]["valkey"]["secrets"]
    assert files == {f"/run/secrets/{each}" for each in secrets}
    # Paths are the project's, not this file's folder's.
    assert there["secrets"] == {each: {"file": f"deploy/secrets/{each}"} for each in secrets}
    assert there["services"]["valkey"]["ports"] == ["6380:6380"]


def judged(bind: str, allowed: list[str], host: str) -> tuple[int, str] | None:
    """What the gate says to a page's request by that name."""
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", host.encode())]}
    return Gate(_nothing, bind=bind, allowed=allowed).judge(scope)


async def _nothing(_scope: object, _receive: object, _send: object) -> None:
    pass
