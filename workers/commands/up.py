"""`betterstack up`: everything, on this machine, in one terminal."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from pipeline.errors import UnavailableError, WorkbenchError
from pipeline.settings import Settings, socket_folder

app = typer.Typer()

LISTENING = "listening"  # beside the sockets


@app.command()
def up(
    data_dir: Annotated[Path | None, typer.Option(help="where everything is kept", show_default=".betterstack")] = None,
    host: Annotated[str | None, typer.Option(help="address to listen on", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one", show_default="8501")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="let others in although there is no sign-in")] = False,
) -> None:
    """Start the servers, the roles and the app, and keep them running until Ctrl-C."""
    from workers.cli import read_settings

    began = time.monotonic()
    signal.signal(signal.SIGTERM, _exit)  # while starting; the servers then stop in order, also for PID 1
    given = {"data_dir": data_dir, "host": host, "port": port}
    settings = read_settings().model_copy(update={name: value for name, value in given.items() if value is not None})
    refuse_exposed(settings.host, insecure=insecure)
    settings = settings.model_copy(update={"port": free_port(settings.host, settings.port)})
    with _servers(settings) as revive:
        _run(settings, revive, began)


def refuse_exposed(host: str, *, insecure: bool) -> None:
    """There is no sign-in yet, so whoever reaches the port can read and change everything."""
    if insecure or host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise WorkbenchError(
            f"--host {host} would let everybody who reaches this machine read and change everything, since there is "
            "no sign-in yet. Listen on 127.0.0.1, or add --insecure where you trust the network."
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
def _servers(settings: Settings) -> Iterator[Callable[[], list[str]]]:
    """Our own servers, or nothing where others are named; yields what revives them."""
    if not settings.embedded:
        typer.echo("Postgres and Redis are those that the environment names")
        yield list
        return
    if sys.platform == "win32":
        raise UnavailableError(
            "The embedded servers need Linux or macOS. Name servers of your own with BETTERSTACK_DATABASE_URL and "
            "BETTERSTACK_REDIS_URL, or use docker compose."
        )
    from workers.embedded import running

    with running(settings.data_dir, say=typer.echo) as servers:
        with listening(settings):
            yield servers.revive
        typer.echo("Stopping the servers")


@contextmanager
def listening(settings: Settings) -> Iterator[None]:
    """Leave word for `betterstack env` of where the app listens."""
    file = socket_folder(settings.data_dir) / LISTENING
    file.write_text(json.dumps({"host": settings.host, "port": settings.port}))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _run(settings: Settings, revive: Callable[[], list[str]], began: float) -> None:
    from workers.bootstrap import prepare, region_reader
    from workers.commands.env import exported
    from workers.lifecycle import Stop, configure_logging
    from workers.readiness import Doorbell
    from workers.supervisor import Supervisor

    configure_logging("supervisor", json=settings.log_format == "json", level=settings.log_level)

    def tables() -> None:
        migrating = time.monotonic()
        changed = prepare(settings)
        typer.echo(f"Tables {'migrated' if changed else 'up to date'} {time.monotonic() - migrating:.1f} s")

    stop = Stop.on_signals()
    doorbell = Doorbell(settings.host, settings.port, began, stop, typer.echo)
    doorbell.start()
    environment = {**os.environ, **exported(settings)}
    Supervisor(region_reader(settings), environment, revive, typer.echo).run(stop, tables)
    if doorbell.failure:
        raise UnavailableError(doorbell.failure)


def _exit(_signum: int, _frame: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)
