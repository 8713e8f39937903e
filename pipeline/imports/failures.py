"""Other monitors' words for a failure, as an outcome of ours: by what the common HTTP clients and Go's library say."""

from __future__ import annotations

import re

from pipeline.vocabulary import Outcome

# In this order: "connect ETIMEDOUT" is no answer to a connection, "timeout of 48000ms exceeded" none to a request.
_SAYINGS = (
    (Outcome.DNS, r"ENOTFOUND|EAI_AGAIN|no such host|getaddrinfo|NXDOMAIN|SERVFAIL|server misbehaving"),
    (Outcome.REFUSED, r"ECONNREFUSED|connection refused"),
    (Outcome.UNREACHABLE, r"EHOSTUNREACH|ENETUNREACH|no route to host|network is unreachable"),
    (Outcome.CONNECT_TIMEOUT, r"connect ETIMEDOUT|dial tcp.*(i/o timeout|deadline exceeded)"),
    (Outcome.TIMEOUT, r"time ?d? ?out|deadline exceeded|AbortSignal|awaiting headers"),
    (Outcome.TLS, r"certificate|x509|\bTLS\b|\bSSL\b|handshake|CERT_|EPROTO"),
    (Outcome.RESET, r"ECONNRESET|socket hang up|connection reset|EPIPE|unexpected EOF|\bEOF\b"),
    (Outcome.REDIRECT, r"redirect"),
    (Outcome.TOO_LARGE, r"maxContentLength"),
    (Outcome.PROTOCOL, r"parse error|HPE_|malformed HTTP"),
    (Outcome.CONTENT, r"keyword|JSON query|\[BODY\]|but value (does not|is)"),
    (Outcome.STATUS, r"status code|\[STATUS\]|^\d{3}\b"),
)
_MATCHERS = [(outcome, re.compile(pattern, re.IGNORECASE)) for outcome, pattern in _SAYINGS]
_STATUS = re.compile(r"status code (\d{3})|^(\d{3}) ?-|\[STATUS\] \((\d{3})\)", re.IGNORECASE)


def outcome_of(message: str | None) -> Outcome:
    """What a failure's message says that it was; `failed` where it does not."""
    for outcome, matcher in _MATCHERS:
        if matcher.search(message or ""):
            return outcome
    return Outcome.FAILED


def status_of(message: str | None) -> int | None:
    """The HTTP status that a message tells of."""
    found = _STATUS.search(message or "")
    return int(next(filter(None, found.groups()))) if found else None
