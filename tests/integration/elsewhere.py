"""Another machine's view of us, on this one: a Valkey with a password, TLS before it, a target that remembers."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple, Self

import trustme
from redis import Redis
from redis.exceptions import RedisError

from tests.harness import eventually
from workers import streams
from workers.embedded.valkey import _binary

PASSWORD = "the-workbench's-own"


class Wire:
    """A Valkey of its own on TCP. It keeps every command that changed something, and no user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self.client: Redis = Redis.from_url(self.url, **streams.options())
        self._start()

    def _start(self) -> None:
        options = f"--port {self.port} --bind 127.0.0.1 --requirepass {PASSWORD} --appendonly yes --appendfsync always"
        command = [_binary(), *options.split(), "--save", "", "--dir", str(self.folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        eventually(self._answers, what="Valkey")

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

    def restart(self) -> None:
        """Killed, and back with its data."""
        self._process.kill()
        self._process.wait(10)
        self._start()

    def written(self) -> bytes:
        """Everything that ever changed a key."""
        return b"".join(file.read_bytes() for file in sorted(self.folder.glob("appendonlydir/*.aof")))

    def close(self) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait(10)


class Terminator:
    """TLS in front of a TCP port, as nginx or stunnel would do it; the bundled Valkey is built without."""

    def __init__(self, port: int, folder: Path) -> None:
        authority = trustme.CA()
        self.authority_file = folder / "authority.pem"
        authority.cert_pem.write_to_path(self.authority_file)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)
        self._behind = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        except OSError:
            writer.close()
            return
        with suppress(asyncio.CancelledError):
            await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        writer.close()


class Visit(NamedTuple):
    """One request as the target saw it; header names in small letters."""

    peer: str
    path: str
    headers: dict[str, str]


@contextmanager
def witness(listener: socket.socket | None = None) -> Iterator[tuple[str, Callable[[str], list[Visit]]]]:
    """A target: its URL, and who visited a path. `listener` is a bound socket, on a free local port unless given."""
    visits: list[Visit] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            visits.append(Visit(self.client_address[0], self.path, headers))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    bound = listener or socket.create_server(("127.0.0.1", 0))
    server = ThreadingHTTPServer(bound.getsockname()[:2], Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = bound
    bound.listen(128)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    host, port = bound.getsockname()[:2]
    try:
        yield f"http://{host}:{port}", lambda path: [visit for visit in visits if visit.path == path]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
