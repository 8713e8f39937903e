"""Sites that are up once a connection stands, or a handshake: `tcp://` and `tls://`."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from pipeline.vocabulary import Expect, Family, Network, Outcome, Probe, Spec
from tests.faults.names import Zone, answering
from tests.integration.hostile import ok, open_descriptors, proxy, raw, run, serving, settled
from workers.probes import PROBES, tcp, tls
from workers.probes.network import Dialer


class Authority:
    """An authority that the client trusts, and servers with its certificates."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self.client = ssl.create_default_context()
        self.authority.configure_trust(self.client)

    def server(self, name: str = "127.0.0.1", days: int = 1) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        end = datetime.now(UTC) + timedelta(days=days)
        self.authority.issue_cert(name, not_after=end).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def test_each_scheme_has_its_probe() -> None:
    assert PROBES["tcp"] is tcp.probe
    assert PROBES["tls"] is tls.probe


def test_a_site_that_takes_connections_is_up() -> None:
    async def main() -> Probe:
        async with serving(None) as server:
            found = await tcp.probe(Spec(f"tcp://127.0.0.1:{server.port}"), Network())
            await server.hung_up.wait()
            return found

    found = run(main())
    assert (found.outcome, found.detail, found.ip, found.status, found.bytes) == (
        Outcome.OK,
        None,
        "127.0.0.1",
        None,
        None,
    )
    assert found.phases.connect_ms is not None
    assert found.latency_ms is not None
    assert (found.phases.tls_ms, found.phases.ttfb_ms, found.phases.transfer_ms) == (None, None, None)


def test_a_name_is_looked_up_and_its_time_counts() -> None:
    async def main() -> Probe:
        dialer = Dialer()
        try:
            async with serving(None) as server, answering(Zone({"site.example": ["127.0.0.1"]})) as resolver:
                spec = Spec(f"tcp://site.example:{server.port}")
                found = await tcp.probe(spec, Network(resolvers=(resolver,)), dialer=dialer)
                await server.hung_up.wait()
                return found
        finally:
            await dialer.aclose()

    found = run(main())
    assert found.outcome is Outcome.OK
    assert found.phases.dns_ms is not None


def test_a_closed_port_is_refused() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        found = run(tcp.probe(Spec(f"tcp://127.0.0.1:{port}"), Network()))
    assert (found.outcome, found.detail) == (Outcome.REFUSED, f"Nothing listens on 127.0.0.1:{port}")


def test_a_forbidden_address_is_blocked() -> None:
    found = run(tcp.probe(Spec("tcp://127.0.0.1:1"), Network(), dialer=Dialer(allowed=lambda _: False)))
    assert found.outcome is Outcome.BLOCKED


def test_a_handshake_that_holds_is_up_and_says_when_the_certificate_ends(authority: Authority) -> None:
    async def main() -> tuple[Probe, bool]:
        async with serving(None, authority.server(days=30)) as server:
            found = await tls.probe(
                Spec(f"tls://127.0.0.1:{server.port}"), Network(), dialer=Dialer(context=authority.client)
            )
            await server.hung_up.wait()
            return found, server.connected.is_set()

    found, completed = run(main())
    assert found.outcome is Outcome.OK, found
    assert completed, "the server saw a whole handshake"
    assert found.phases.tls_ms is not None
    assert found.expires_at is not None
    assert timedelta(days=29) < found.expires_at - datetime.now(UTC) < timedelta(days=31)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_server_sees_a_whole_handshake_and_a_good_bye(authority: Authority, version: ssl.TLSVersion) -> None:
    context = authority.server()
    context.minimum_version = context.maximum_version = version

    async def main() -> bytes:
        ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            ended.set_result(await reader.read())  # raises where it was cut off
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listener:
            port = listener.sockets[0].getsockname()[1]
            dialer = Dialer(context=authority.client)
            found = await tls.probe(Spec(f"tls://127.0.0.1:{port}"), Network(), dialer=dialer)
            assert found.outcome is Outcome.OK, found
            return await ended

    assert run(main()) == b""


@pytest.mark.parametrize(
    ("expect", "outcome"),
    [
        (Expect(tls_days=31), Outcome.EXPIRING),
        (Expect(tls_days=3), Outcome.OK),
        (Expect(max_latency_ms=0.001), Outcome.SLOW),
        (Expect(max_latency_ms=10_000), Outcome.OK),
        (Expect(tls_days=31, max_latency_ms=0.001), Outcome.EXPIRING),
    ],
)
def test_what_can_be_expected_of_a_handshake(authority: Authority, expect: Expect, outcome: Outcome) -> None:
    async def main() -> Probe:
        async with serving(None, authority.server(days=30)) as server:
            spec = Spec(f"tls://127.0.0.1:{server.port}", expect=expect)
            found = await tls.probe(spec, Network(), dialer=Dialer(context=authority.client))
            await server.hung_up.wait()
            return found

    found = run(main())
    assert found.outcome is outcome
    assert (found.detail is None) is (outcome is Outcome.OK)


def test_a_certificate_that_does_not_hold_is_tls_unless_nobody_verifies_it(authority: Authority) -> None:
    async def main(*, verify: bool) -> Probe:
        async with serving(None, authority.server("127.0.0.9", days=5)) as server:
            spec = Spec(f"tls://127.0.0.1:{server.port}", verify_tls=verify)
            found = await tls.probe(spec, Network(), dialer=Dialer(context=authority.client))
            await asyncio.sleep(0.05)  # the server's side of it
            return found

    strict, lenient = run(main(verify=True)), run(main(verify=False))
    assert (strict.outcome, lenient.outcome) == (Outcome.TLS, Outcome.OK)
    assert lenient.expires_at is not None


def test_a_server_without_tls_or_without_a_word_fails(authority: Authority) -> None:
    async def main() -> tuple[Probe, Probe]:
        dialer = Dialer(context=authority.client)
        async with serving(raw(b"")) as plain, serving(None) as silent:

            async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(b"220 mail.example ESMTP ready\r\n")
                await writer.drain()
                writer.close()

            async with await asyncio.start_server(greet, "127.0.0.1", 0) as listener:
                port = listener.sockets[0].getsockname()[1]
                greeted = await tls.probe(Spec(f"tls://127.0.0.1:{port}"), Network(), dialer=dialer)
            assert plain.port != silent.port
            stalled = await tls.probe(Spec(f"tls://127.0.0.1:{silent.port}", timeout_s=0.5), Network(), dialer=dialer)
            return greeted, stalled

    greeted, stalled = run(main())
    assert greeted.outcome is Outcome.TLS
    assert (stalled.outcome, stalled.detail) == (Outcome.TIMEOUT, "Connected, but no TLS handshake within 0.5 s")


def test_both_go_through_the_proxys_tunnel(authority: Authority) -> None:
    async def main() -> list[Outcome]:
        async with serving(ok(), authority.server()) as site, serving(proxy) as way:
            network = Network(proxy=f"http://127.0.0.1:{way.port}")
            dialer = Dialer(context=authority.client)
            found = [
                await tcp.probe(Spec(f"tcp://127.0.0.1:{site.port}"), network, dialer=dialer),
                await tls.probe(Spec(f"tls://127.0.0.1:{site.port}"), network, dialer=dialer),
            ]
            assert [head.split(b" ")[0] for head in way.heads] == [b"CONNECT", b"CONNECT"]
            return [each.outcome for each in found]

    assert run(main()) == [Outcome.OK, Outcome.OK]


@pytest.mark.parametrize("url", ["tcp://xn--:1", "tcp://a..b:1", "tls://" + "a" * 64 + ".example:1"])
def test_a_name_that_cannot_be_encoded_is_dns(url: str) -> None:
    async def main() -> Probe:
        return await PROBES[url[:3]](Spec(url), Network())

    assert run(main()).outcome is Outcome.DNS


def test_an_address_of_the_other_family_is_dns() -> None:
    found = run(tcp.probe(Spec("tcp://127.0.0.1:1", family=Family.IPV6), Network()))
    assert found.outcome is Outcome.DNS


def test_nothing_stays_open(authority: Authority) -> None:
    async def main() -> None:
        dialer = Dialer(context=authority.client)
        async with serving(None, authority.server()) as secure, serving(None) as silent:
            before = open_descriptors()
            for _ in range(3):
                await tls.probe(Spec(f"tls://127.0.0.1:{secure.port}"), Network(), dialer=dialer)
                await tls.probe(Spec(f"tls://127.0.0.1:{silent.port}", timeout_s=0.05), Network(), dialer=dialer)
                await tcp.probe(Spec(f"tcp://127.0.0.1:{silent.port}"), Network(), dialer=dialer)
            assert await settled(before)

    run(main())
