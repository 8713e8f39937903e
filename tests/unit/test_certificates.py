"""Certificates as a person reads them, whoever made them and whatever is in them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from workers.probes import certificates
from workers.probes.certificates import expires_at, summary

CA = trustme.CA()
END = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


def leaf(*names: str, **more: datetime) -> bytes:
    """A certificate as DER."""
    pem = CA.issue_cert(*names, **more).cert_chain_pems[0].bytes()  # type: ignore[arg-type]
    return load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def test_it_says_whose_it_is_for_what_and_until_when() -> None:
    shown = summary(leaf("shop.example", "*.shop.example", "192.0.2.1", not_after=END))
    assert shown is not None
    assert shown.names == ("shop.example", "*.shop.example", "192.0.2.1")
    assert shown.not_after == END
    assert "trustme" in shown.subject
    assert "Testing CA" in shown.issuer
    assert len(shown.sha256) == 64


def test_of_many_names_the_first_few_are_shown() -> None:
    shown = summary(leaf(*(f"n{n}.example" for n in range(100))))
    assert shown is not None
    assert shown.names == tuple(f"n{n}.example" for n in range(certificates.NAMES))


def test_its_end_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    der = leaf("once.example", not_after=END)
    assert expires_at(der) == END
    monkeypatch.setattr(certificates, "_parsed", None)
    assert expires_at(der) == END


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "KNOWN_LIMIT", 3)
    for n in range(10):
        expires_at(b"no certificate %d" % n)
    assert len(certificates._ends) <= 3


@pytest.mark.parametrize("cut", [0, 1, 10, 100, 300, 400])
def test_what_is_no_certificate_has_neither_words_nor_an_end(cut: int) -> None:
    der = leaf("a.example")[:cut]
    assert (summary(der), expires_at(der)) == (None, None)


def test_no_byte_of_it_makes_it_fail() -> None:
    der = leaf("a.example", not_after=END)
    for place in range(len(der)):
        for value in (0, 0xFF, der[place] ^ 1):
            changed = der[:place] + bytes([value]) + der[place + 1 :]
            summary(changed)
            expires_at(changed)
