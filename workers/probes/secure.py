"""TLS: the shared contexts, and a sentence for each way in which it does not come about."""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import certifi

NAMES_SHOWN = 3  # of a certificate that may be for a hundred

EXPIRED, NOT_YET_VALID, OTHER_NAME, OTHER_ADDRESS = 10, 9, 62, 64  # X509_V_ERR_..., which the ssl module does not name
UNPROVEN = "the certificate's issuer is not trusted, or the chain is incomplete"
UNTRUSTED = {
    NOT_YET_VALID: "the certificate is not valid yet",
    EXPIRED: "the certificate has expired",
    18: "the certificate is self-signed",
    19: "the chain ends in a self-signed certificate that is not trusted",
    20: UNPROVEN,
    21: UNPROVEN,
    OTHER_NAME: "the certificate is for another name",
    OTHER_ADDRESS: "the certificate is for another address",
}
HANDSHAKES = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS on this port",
    "RECORD_LAYER_FAILURE": "it does not speak TLS on this port",
    "UNSUPPORTED_PROTOCOL": "it offers only TLS versions older than 1.2",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it refuses TLS 1.2 and 1.3",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it shares no cipher with us, or wants a client certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a client certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept our client certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it says that our client certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept our client certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the issuer of our client certificate",
}

Certificate = Mapping[str, Any]


@functools.cache
def tls_context(*, verify: bool = True) -> ssl.SSLContext:
    """The shared context of a verify-mode. Building one takes 40 ms: call it once before the loop runs."""
    if not verify:
        return settled(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), verify=False)
    context = ssl.create_default_context(
        cafile=os.environ.get("SSL_CERT_FILE") or certifi.where(), capath=os.environ.get("SSL_CERT_DIR")
    )
    return settled(context, verify=verify)


def settled(context: ssl.SSLContext, *, verify: bool) -> ssl.SSLContext:
    """A context as all of ours are, whatever certificates it knows."""
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def tls_sentence(host: str, error: ssl.SSLError, chain: Sequence[Certificate]) -> str:
    """Why there is no TLS with a host; `chain` is what it showed, the leaf first, empty where that is not known."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS with {host}: {_untrusted(error, chain)}"
    if isinstance(error, ssl.SSLEOFError):
        return f"{host} closed the connection during the TLS handshake"
    return f"No TLS with {host}: {reason_of(error)}"


def reason_of(error: ssl.SSLError) -> str:
    """What TLS broke on, in words."""
    reason = error.reason or "no reason given"
    return HANDSHAKES.get(reason, reason.replace("_", " ").lower())


def _untrusted(error: ssl.SSLCertVerificationError, chain: Sequence[Certificate]) -> str:
    code = error.verify_code
    if chain and code == EXPIRED:
        # The first of the chain to expire is the one that did.
        return f"the certificate expired on {_day(min(_seconds(c['notAfter']) for c in chain))}"
    if chain and code == NOT_YET_VALID:
        return f"the certificate is not valid before {_day(max(_seconds(c['notBefore']) for c in chain))}"
    if chain and code in (OTHER_NAME, OTHER_ADDRESS):
        names = [name for kind, name in chain[0].get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
        more = " and others" if len(names) > NAMES_SHOWN else ""
        return f"the certificate is for {', '.join(names[:NAMES_SHOWN]) or 'no name'}{more}"
    return UNTRUSTED.get(code, error.verify_message)


def _seconds(text: str) -> float:
    return ssl.cert_time_to_seconds(text)


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
