"""The demo's other half: a small HTTPS server on this machine that the demo's sites are checked against, live.

Each answer takes what the history's model says that it takes: from where somebody asks is told by the address that
they ask from, whom by the name. Certificates are made at the start; the partner API's ends in nine days.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipeline.demo import cast
from pipeline.settings import Settings
from workers.lifecycle import Stop

log = logging.getLogger("demo")

EXPIRING = timedelta(days=9)  # the sites expect two weeks
LASTING = timedelta(days=300)
LONGEST_REQUEST = 8192
REQUEST_S = 10.0


def certificate(names: list[str], now: datetime, lasts: timedelta) -> bytes:
    """A self-signed certificate with its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "BetterStack Workbench demo")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return built.public_bytes(serialization.Encoding.PEM) + secret


def delay_ms(member: cast.Member, place: cast.Place, now_us: int, scatter: float) -> float:
    """How long the answer takes: what look-up, handshakes and the way there take elsewhere, and the thinking."""
    from pipeline.demo.tides import SHIFTS_H, busy

    trips = 3.05 * place.round_trip_ms[member.home] + (0.6 * place.round_trip_ms[member.home]) * (member.size > 14_600)
    thinking = member.server_ms * float(busy(np.array([SHIFTS_H[member.home]]), np.array([now_us]))[0])
    return 2.5 + trips + thinking * scatter + member.size / 9000.0


class Target:
    """Answers for all the demo's sites."""

    def __init__(self) -> None:
        self._members = {member.key.removeprefix(cast.PREFIX): member for member in cast.members()}
        self._places = {place.source_address: place for place in cast.PLACES}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer, and the connection ends."""
        try:
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._response(head.decode("latin-1"), writer.get_extra_info("peername")[0]))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            log.debug("somebody left early", extra={"action": "demo_left"})
        finally:
            writer.close()

    async def _response(self, head: str, address: str) -> bytes:
        hosts = [line.partition(":")[2].strip() for line in head.split("\r\n") if line.lower().startswith("host:")]
        member = self._members.get(hosts[0].partition(".")[0] if hosts else "")
        if member is None:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        place = self._places.get(address, cast.PLACES[0])
        scatter = random.lognormvariate(0.0, 0.16)
        await asyncio.sleep(delay_ms(member, place, time.time_ns() // 1000, scatter) / 1000)
        body = f"<title>{member.name}</title>".encode().ljust(member.size, b" ")
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
        )


def contexts(folder: Path, now: datetime) -> ssl.SSLContext:
    """A server's context that shows the certificate of the name that it is asked for."""
    made = {}
    names = [member.key.removeprefix(cast.PREFIX) for member in cast.members()]
    soon = {member.key.removeprefix(cast.PREFIX) for member in cast.members() if member.expiring}
    for lasts in (EXPIRING, LASTING):
        file = folder / f"{lasts.days}.pem"
        file.touch(mode=0o600)
        file.write_bytes(certificate([f"{name}.localhost" for name in names], now, lasts))
        made[lasts] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made[lasts].load_cert_chain(file)

    def choose(connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        if (name or "").partition(".")[0] in soon:
            connection.context = made[EXPIRING]

    made[LASTING].sni_callback = choose
    return made[LASTING]


def run(settings: Settings, stop: Stop) -> None:
    """Serve until told to stop, where the sites of the demo are said to be."""
    from pipeline.store.demo import port_of
    from pipeline.store.engine import engine

    store = engine(settings.database, name="demo")
    with store.connect() as connection:
        port = port_of(connection)
    store.dispose()
    if port is None:
        log.info("no demo is loaded", extra={"action": "demo_absent"})
        stop.wait(REQUEST_S)
        return
    with tempfile.TemporaryDirectory() as folder:
        context = contexts(Path(folder), datetime.now(UTC))
    asyncio.run(_serve(port, context, stop))


async def _serve(port: int, context: ssl.SSLContext, stop: Stop) -> None:
    server = await asyncio.start_server(Target().answer, "127.0.0.1", port, ssl=context, limit=LONGEST_REQUEST)
    async with server:
        log.info("the demo's sites answer", extra={"action": "demo_serves", "port": port})
        await asyncio.to_thread(stop.wait)
