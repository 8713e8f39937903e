"""Servers that want to know who asks, certificates that nobody verifies, and PEM that cannot be used."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from pipeline.vocabulary import Network, Outcome, Probe, Spec
from tests.integration.hostile import ok, redirects, run, serving
from workers.probes import http, identity, tls
from workers.probes.identity import CONTEXTS_KEPT, context_showing
from workers.probes.network import Dialer
from workers.probes.secure import tls_context


class Authority:
    """An authority that both sides trust."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self.trusting = ssl.create_default_context()
        self.authority.configure_trust(self.trusting)

    def server(self, *, wants: bool, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = version
        self.authority.issue_cert("127.0.0.1").configure_cert(context)
        if wants:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self) -> str:
        return pem_of(self.authority.issue_cert("prober.example"))


def pem_of(issued: trustme.LeafCert) -> str:
    return issued.private_key_and_cert_chain_pem.bytes().decode()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(autouse=True)
def _none_kept() -> None:
    identity._kept.clear()


@contextlib.contextmanager
def refusing(context: ssl.SSLContext) -> Iterator[int]:
    """A server that tells whom it refuses why, as most do; asyncio's hangs up without a word. Yields its port."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                plain.settimeout(5)
                with plain, contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secured:
                    secured.recv(1024)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def check(authority: Authority, context: ssl.SSLContext, **fields: object) -> Probe:
    async def main() -> Probe:
        async with serving(ok(), context) as server:
            spec = Spec(server.url(), **fields)  # type: ignore[arg-type]
            return await http.probe(spec, Network(), dialer=Dialer(context=authority.trusting))

    return run(main())


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_wants_a_certificate_gets_ours(authority: Authority, version: ssl.TLSVersion) -> None:
    context = authority.server(wants=True, version=version)
    found = check(authority, context, client_certificate=authority.client())
    assert (found.outcome, found.status) == (Outcome.OK, 200), found


@pytest.mark.parametrize("version", VERSIONS)
def test_without_one_or_with_a_strangers_it_is_tls(authority: Authority, version: ssl.TLSVersion) -> None:
    context = authority.server(wants=True, version=version)
    dialer = Dialer(context=authority.trusting)
    with refusing(context) as port:
        for pem in (None, pem_of(trustme.CA().issue_cert("stranger.example"))):
            spec = Spec(f"https://127.0.0.1:{port}/", client_certificate=pem)
            found = run(http.probe(spec, Network(), dialer=dialer))
            assert found.outcome is Outcome.TLS, found
            assert found.detail is not None
            assert pem is None or "our client certificate" in found.detail


@pytest.mark.parametrize("verify", [True, False])
def test_it_is_shown_whether_or_not_the_servers_is_verified(authority: Authority, *, verify: bool) -> None:
    own, other = authority.server(wants=True), Authority()
    pem = authority.client()
    assert check(authority, own, client_certificate=pem, verify_tls=verify).outcome is Outcome.OK
    stranger = other.server(wants=False)
    found = check(authority, stranger, client_certificate=pem, verify_tls=verify)
    assert found.outcome is (Outcome.TLS if verify else Outcome.OK)


def test_a_redirect_to_another_origin_is_shown_nothing(authority: Authority) -> None:
    async def main() -> Probe:
        with refusing(authority.server(wants=True)) as port:
            moved = redirects({"/": f"https://127.0.0.1:{port}/"})
            async with serving(moved, authority.server(wants=True)) as site:
                spec = Spec(site.url(), client_certificate=authority.client())
                return await http.probe(spec, Network(), dialer=Dialer(context=authority.trusting))

    found = run(main())
    assert found.outcome is Outcome.TLS, "the other server wanted one, too"
    assert found.detail is not None
    assert "wants a client certificate" in found.detail


def test_a_handshake_alone_shows_it_as_well(authority: Authority) -> None:
    async def main() -> Probe:
        async with serving(None, authority.server(wants=True, version=ssl.TLSVersion.TLSv1_2)) as server:
            spec = Spec(f"tls://127.0.0.1:{server.port}", client_certificate=authority.client())
            found = await tls.probe(spec, Network(), dialer=Dialer(context=authority.trusting))
            await server.hung_up.wait()
            return found

    assert run(main()).outcome is Outcome.OK


def broken(authority: Authority) -> dict[str, str]:
    """PEM that cannot be used, each with a word in it that nobody may repeat."""
    issued, other = authority.authority.issue_cert("a.example"), authority.authority.issue_cert("b.example")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw")).decode()
    certificate = issued.cert_chain_pems[0].bytes().decode()
    return {
        "nonsense": "s3cret",
        "no-key": certificate,
        "no-certificate": issued.private_key_pem.bytes().decode(),
        "other-key": other.private_key_pem.bytes().decode() + certificate,
        "locked": locked + certificate,
        "cut": pem_of(issued)[:300],
        "nul": "\0",
    }


@pytest.mark.parametrize("kind", ["nonsense", "no-key", "no-certificate", "other-key", "locked", "cut", "nul"])
def test_pem_that_cannot_be_used_says_nothing_about_the_site_and_nothing_of_itself(
    authority: Authority, kind: str
) -> None:
    pem = broken(authority)[kind]
    found = check(authority, authority.server(wants=False), client_certificate=pem)
    assert found.outcome is Outcome.BLOCKED
    assert found.detail is not None
    assert "client certificate" in found.detail
    assert not any(line in found.detail for line in pem.splitlines() if line.strip())
    assert found.latency_ms is None


def test_a_context_is_built_once_and_few_are_kept(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "CONTEXTS_KEPT", 2)
    pems = [authority.client() for _ in range(3)]

    async def main() -> None:
        first = await context_showing(pems[0], verify=False)
        assert await context_showing(pems[0], verify=False) is first
        assert await context_showing(pems[0], verify=True) is not first
        for pem in pems[1:]:
            await context_showing(pem, verify=False)
        assert len(identity._kept) == 2
        assert await context_showing(pems[0], verify=False) is not first

    run(main())
    assert CONTEXTS_KEPT > 2


def test_the_key_is_in_no_file_that_stays(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    run(context_showing(authority.client(), verify=False))
    assert not list(tmp_path.iterdir())
    monkeypatch.delattr(os, "memfd_create")  # where there are no files in memory
    run(context_showing(authority.client(), verify=False))
    assert not list(tmp_path.iterdir())


def test_building_one_does_not_hold_the_loop_up(authority: Authority) -> None:
    async def main() -> list[ssl.SSLContext]:
        tls_context()
        return await asyncio.gather(*(context_showing(authority.client(), verify=True) for _ in range(5)))

    assert len(set(run(main()))) == 5


# Nobody verifies


def test_an_unverified_certificate_is_no_failure_at_any_hop(authority: Authority) -> None:
    stranger = Authority()

    async def main() -> list[Probe]:
        async with (
            serving(ok(), stranger.server(wants=False)) as other,
            serving(redirects({"/": other.url()}), stranger.server(wants=False)) as site,
        ):
            dialer = Dialer(context=authority.trusting)
            return [
                await http.probe(Spec(site.url(), verify_tls=verify), Network(), dialer=dialer)
                for verify in (True, False)
            ]

    assert [found.outcome for found in run(main())] == [Outcome.TLS, Outcome.OK]


def test_contexts_are_shared_by_what_they_verify() -> None:
    assert tls_context() is tls_context()
    assert tls_context(verify=False) is tls_context(verify=False)
    assert tls_context(verify=False).verify_mode is ssl.CERT_NONE
    assert tls_context().verify_mode is ssl.CERT_REQUIRED
