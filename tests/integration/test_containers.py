"""The compose file's services, each by its very command, make a house; and tools that know agree with our files."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.deployed import ROOT, compose
from tests.harness import Target, eventually
from tests.integration.boxes import Box, Servers, make_secrets
from workers.commands.up import free_port

COMPOSE_FILES = ("docker-compose.yml", "deploy/compose.remote.yml")
REGION = "eu"


@pytest.mark.parametrize("file", COMPOSE_FILES)
def test_the_compose_specification_knows_each_word_of_it(file: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(ROOT / file)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_the_dockerfile_has_no_lint() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    checked = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_secrets_are_made_once_and_told_apart_from_their_hash(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make_secrets(folder)
    made = {file.name: file.read_text() for file in folder.iterdir()}
    of_regions = {source for source in compose()["secrets"] if source.startswith("prober_")}
    assert made.keys() == compose()["secrets"].keys() - of_regions
    assert folder.stat().st_mode & 0o077 == 0, "the folder is what keeps them from others here"
    assert all((folder / name).stat().st_mode & 0o004 for name in made), "a container's user is not us"
    assert len({made["postgres_password"], made["betterstack_secret_key"]}) == 2
    assert min(len(made["postgres_password"]), len(made["betterstack_secret_key"])) >= 43
    assert made["postgres_password"] in made["betterstack_database_url"]
    password = made["betterstack_redis_url"].removeprefix("redis://:").partition("@")[0]
    assert password not in made["valkey_users.conf"]
    make_secrets(folder)
    assert {file.name: file.read_text() for file in folder.iterdir()} == made


class House:
    """Everything `docker compose up` would start, and the boxes of a region's prober service."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.secrets = folder / "secrets"
        make_secrets(self.secrets)
        self.servers = stack.enter_context(Servers(folder / "data", self.secrets))
        self.port = free_port("127.0.0.1", 0)
        self.boxes: dict[str, Box] = {}

    def box(self, service: str, name: str = "") -> Box:
        """A box of a service, not started yet."""
        # A port of our own on loopback stands for the published one.
        moved = {"BETTERSTACK_HOST": "127.0.0.1", "BETTERSTACK_PORT": str(self.port)} if service == "app" else {}
        moved |= {"BETTERSTACK_PRIVATE_TARGETS": "allow"}  # the site that it checks is on this machine
        box = Box(service, self.folder / (name or service), self.secrets, self.servers, **moved)
        self._stack.callback(box.kill)
        self.boxes[name or service] = box
        return box

    def call(self, path: str, body: dict[str, Any] | None = None, *, host: str | None = None) -> Any:
        """The app's answer; `host` is the name that a browser would have called it by."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"} | ({"host": host} if host else {})
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def status(self, path: str, *, host: str | None = None) -> int:
        """0 while nobody answers."""
        try:
            self.call(path, host=host)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0
        return 200

    def regions_seen(self) -> set[str]:
        return {tick["region"] for tick in self.call("/api/v1/sites/one/ticks")["items"]}

    def docker(self) -> Path:
        """A folder with a `docker` that understands `compose exec -T SERVICE COMMAND…`, for scripts that call it."""
        folder = self.folder / "bin"
        folder.mkdir()
        command, environment = self.boxes["pusher"].command()
        # There the pusher's own URL names Valkey by what it is called in those networks; here by an address of ours.
        environment["BETTERSTACK_PUBLIC_REDIS_URL"] = "redis://valkey:6379/0"
        exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())
        script = (
            f'#!/bin/sh\n[ "$1 $2 $3 $4 $5" = "compose exec -T pusher betterstack" ] || exit 64\nshift 5\n{exports}\n'
        )
        file = folder / "docker"
        file.write_text(f'{script}exec {shlex.join(command)} "$@"\n')
        file.chmod(0o755)
        return folder


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(tmp_path, stack)


def test_the_services_make_a_house_that_checks_a_site_from_both_kinds_of_region(house: House) -> None:
    migrate = house.box("migrate")
    assert "migrated" in migrate.run(*migrate.service["command"]).stdout
    again = migrate.run(*migrate.service["command"])
    assert (again.returncode, "up to date" in again.stdout) == (0, True)
    for service in ("app", "pusher", "recorder", "roller", "supervisor"):
        house.box(service).start()

    with Target() as target:
        eventually(lambda: house.status("/api/v1/sites") == 200, seconds=60, what="the app")
        house.call("/api/v1/sites", {"key": "one", "url": f"{target.url}/one", "interval_s": 1})
        eventually(lambda: "local-a" in house.regions_seen(), seconds=30, what="a check from a managed region")
        add = house.boxes["pusher"].run("regions", "add", REGION, "--elsewhere")
        assert add.returncode == 0, add.stderr
        make_secrets(house.secrets, REGION, path=[house.docker()])
        for number in (1, 2):  # --scale prober-eu=2
            house.box(f"prober-{REGION}", f"prober-{REGION}-{number}").start()
        eventually(lambda: REGION in house.regions_seen(), seconds=30, what="a check from the prober service's region")
        eventually(lambda: house.status("/healthz") == 200, seconds=30, what="a healthy house")

    assert house.servers.answers_to_its_health_check()
    running = {name: box for name, box in house.boxes.items() if box.process is not None}
    for name, box in running.items():
        eventually(box.healthy, seconds=15, what=f"a healthy {name}")
    assert house.status("/api/v1/sites", host="evil.example") == 421
    assert house.status("/api/v1/sites", host="localhost") == 200
    assert codes_of_stopping(running) == dict.fromkeys(running, 0)


def codes_of_stopping(boxes: dict[str, Box]) -> dict[str, int]:
    """Each is told alone, and has its own time."""
    return {name: box.stop() for name, box in boxes.items()}
