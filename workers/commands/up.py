"""`betterstack up`: everything, on this machine, in one terminal."""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from pipeline import product
from pipeline.errors import UnavailableError, WorkbenchError
from pipeline.settings import Settings, socket_folder
from workers.lifecycle import Stop, configure_logging, lifetime

app = typer.Typer()
log = logging.getLogger("up")

LISTENING = "listening"  # beside the sockets


@app.command()
def up(
    data_dir: Annotated[Path | None, typer.Option(help="where everything is kept", show_default=".betterstack")] = None,
    host: Annotated[str | None, typer.Option(help="address to listen on", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one", show_default="8501")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="let others in although there is no sign-in")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="with ninety days of an invented company's sites")] = False,
) -> None:
    """Start the servers, the roles and the app, and keep them running until Ctrl-C."""
    from workers.cli import read_settings

    began = time.monotonic()
    signal.signal(signal.SIGTERM, leave)  # while starting; the servers then stop in order, also for PID 1
    given = {"data_dir": data_dir, "host": host, "port": port}
    settings = read_settings().model_copy(update={name: value for name, value in given.items() if value is not None})
    refuse_exposed(settings.host, insecure=insecure)
    names = settings.allowed_hosts or ("*" if insecure else "")
    port = free_port(settings.host, settings.port)
    settings = settings.model_copy(update={"port": port, "allowed_hosts": names})
    say = teller(settings)
    with lifetime(product.version(), json=settings.log_format == "json"), _servers(settings, say) as revive:
        _run(settings, revive, began, say, demo=demo)


def teller(settings: Settings) -> Callable[[str], None]:
    """What tells a person how far we are; where the log is for machines, all is a line of it."""
    configure_logging("supervisor", json=settings.log_format == "json", level=settings.log_level)
    if settings.log_format == "console":
        return typer.echo
    return lambda line: log.info(line, extra={"action": "said"})


def refuse_exposed(host: str, *, insecure: bool, way_out: str = "add --insecure where you trust the network") -> None:
    """There is no sign-in yet, so whoever reaches the port can read and change everything."""
    if insecure or host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise WorkbenchError(
            f"Listening on {host} would let everybody who reaches this machine read and change everything, since there "
            f"is no sign-in yet. Listen on 127.0.0.1, or {way_out}."
        )


def free_port(host: str, port: int) -> int:
    """The port, or a free one for 0. Errors: WorkbenchError where it is taken."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        raise WorkbenchError(
            f"Cannot listen on {host}, port {port} ({error.strerror}). Perhaps a Workbench runs there already; "
            "if not, choose another one: --port 8600."
        ) from None


@contextmanager
def _servers(settings: Settings, say: Callable[[str], None]) -> Iterator[Callable[[], list[str]]]:
    """Our own servers, or nothing where others are named; yields what revives them."""
    if not settings.embedded:
        say("Postgres and Redis are those that the environment names")
        yield list
        return
    if sys.platform == "win32":
        raise UnavailableError(
            "The embedded servers need Linux or macOS. Name servers of your own with BETTERSTACK_DATABASE_URL and "
            "BETTERSTACK_REDIS_URL, or use docker compose."
        )
    from workers.embedded import running

    with running(settings.data_dir, say=say) as servers:
        with listening(settings):
            yield servers.revive
        say("Stopping the servers")


@contextmanager
def listening(settings: Settings) -> Iterator[None]:
    """Leave word for `betterstack env` of where the app listens."""
    file = socket_folder(settings.data_dir) / LISTENING
    file.write_text(json.dumps({"host": settings.host, "port": settings.port}))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _run(
    settings: Settings, revive: Callable[[], list[str]], began: float, say: Callable[[str], None], *, demo: bool
) -> None:
    from workers.bootstrap import prepare
    from workers.commands.env import exported
    from workers.readiness import Doorbell
    from workers.scaling import Scaler
    from workers.supervisor import Supervisor, utc_now

    def tables() -> None:
        migrating = time.monotonic()
        changed = prepare(settings, say)
        say(f"Tables {'migrated' if changed else 'up to date'} {time.monotonic() - migrating:.1f} s")
        if demo:
            threading.Thread(target=_load_demo, args=(say,), daemon=True).start()

    older = _is_older(settings)
    if older:  # before anybody looks at them, and while nobody counts the seconds: a backup may take minutes
        tables()
    stop = Stop.on_signals()
    doorbell = Doorbell(settings.host, settings.port, began, stop, say)
    doorbell.start()
    environment = {**os.environ, **exported(settings)}
    scaler = Scaler(settings.database, clock=utc_now)
    Supervisor(scaler.look, environment, revive=revive, say=say).run(stop, _nothing if older else tables)
    if doorbell.failure:
        raise UnavailableError(doorbell.failure)


def _load_demo(say: Callable[[str], None]) -> None:
    """Beside everything else: who looks meanwhile sees the newest days first."""
    from workers.commands.demo import load_demo

    try:
        load_demo(say)
    except WorkbenchError as error:
        say(f"betterstack: {error}")


def _nothing() -> None:
    """The tables are ready already."""


def _is_older(settings: Settings) -> bool:
    if not settings.embedded:
        return False
    from workers.embedded import version

    return version.is_older(settings.data_dir)


def leave(_signum: int, _frame: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)
