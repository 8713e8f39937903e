"""Certificates as a person reads them, and when they end. From DER, accepted or not; pure.

An ok check pays some 2 µs: a digest, and a look into what was read before. cryptography is loaded at the first
certificate, since a prober of plain HTTP needs none of it.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING

from pipeline.vocabulary import Certificate

if TYPE_CHECKING:
    from cryptography import x509

KNOWN_LIMIT = 4096  # ends of certificates kept, some 150 bytes each: the sites of one prober
NAMES = 8  # of a certificate that may be for a hundred
TEXT = 200  # of a subject, an issuer or a name

_ends: OrderedDict[bytes, datetime | None] = OrderedDict()


def expires_at(der: bytes) -> datetime | None:
    """When a certificate ends, UTC; None where it cannot be read."""
    digest = blake2b(der, digest_size=16).digest()
    try:
        return _ends[digest]
    except KeyError:
        pass
    certificate = _parsed(der)
    _ends[digest] = end = None if certificate is None else certificate.not_valid_after_utc
    while len(_ends) > KNOWN_LIMIT:
        _ends.popitem(last=False)
    return end


def summary(der: bytes) -> Certificate | None:
    """What a certificate says of itself; None where it cannot be read."""
    certificate = _parsed(der)
    if certificate is None:
        return None
    try:
        subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    except ValueError:
        subject = issuer = "(unreadable)"
    return Certificate(
        subject=subject[:TEXT],
        issuer=issuer[:TEXT],
        names=tuple(name[:TEXT] for name in _names(certificate)[:NAMES]),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        sha256=sha256(der).hexdigest(),
    )


def _parsed(der: bytes) -> x509.Certificate | None:
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.not_valid_after_utc  # times are read late, and may be what is broken
    except Exception:  # noqa: BLE001 - whatever a stranger wrote into it, it is only a certificate that we cannot show
        return None
    return certificate


def _names(certificate: x509.Certificate) -> list[str]:
    """Host names and addresses that it is for, in its own order."""
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return []
    return [str(name.value) for name in extension.value if isinstance(name, x509.DNSName | x509.IPAddress)]
