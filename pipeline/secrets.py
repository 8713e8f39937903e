"""What is secret of a site and of a region, by name, and how it changes its form. Pure.

Names: `header:X-Api-Key`, `body`, `auth`, `client_certificate`, and `proxy` for the user and password in a region's.
Nobody has to say that a header is a secret: all are whose name is not known to be harmless. Nothing is not a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from msgspec import structs

from pipeline.errors import WorkbenchError
from pipeline.ring import PREFIX, UNSEALED, LockedError, Ring, is_shown, is_stored, shown
from pipeline.vocabulary import Auth, Network, Spec

PUBLIC_HEADERS = frozenset({
    "accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "connection",
    "content-language", "content-type", "dnt", "host", "if-modified-since", "origin", "pragma", "range", "referer",
    "upgrade-insecure-requests", "user-agent",
})  # fmt: skip
HOW = "set BETTERSTACK_SECRET_KEY (make one with `openssl rand -base64 32`) to the same value for every role"
HEADER, BODY, AUTH, CERTIFICATE, PROXY = "header:", "body", "auth", "client_certificate", "proxy"
SECRET_FIELDS = ("headers", BODY, AUTH, CERTIFICATE, PROXY)
_CREDENTIALS = re.compile(r"(?<=://)[^/?#]*(?=@)")


class Flaw(NamedTuple):
    """What is wrong with one secret; `field` is that of the declaration."""

    field: str
    message: str


def is_public(header: str) -> bool:
    return header.lower() in PUBLIC_HEADERS


def secrets_of(spec: Spec, network: Network | None = None) -> dict[str, str]:
    """The secrets that a check carries, by name: as they are meant, or stored, whichever the spec has."""
    found = _listed(spec.headers, spec.body, spec.auth.secret if spec.auth else None, spec.client_certificate)
    return found | _of_proxy(network.proxy if network else None)


def has_secrets(spec: Spec, network: Network) -> bool:
    """The same question in a fraction of the time: most checks carry none."""
    if spec.body or spec.auth is not None or spec.client_certificate:
        return True
    if network.proxy is not None and "@" in network.proxy:
        return True
    return bool(spec.headers) and not all(is_public(name) or not value for name, value in spec.headers.items())


def with_secrets(spec: Spec, values: Mapping[str, str]) -> Spec:
    """The spec with other values for the secrets that are named."""
    headers, body, secret, certificate = _replaced(
        spec.headers, spec.body, spec.auth.secret if spec.auth else None, spec.client_certificate, values
    )
    auth = Auth(secret or "", spec.auth.username) if spec.auth else None
    return structs.replace(spec, headers=headers, body=body or "", auth=auth, client_certificate=certificate)


def with_proxy_secret(network: Network, values: Mapping[str, str]) -> Network:
    """The same for the proxy of a region."""
    proxy = _in_proxy(network.proxy, values)
    return network if proxy == network.proxy else structs.replace(network, proxy=proxy)


def declared(fields: Mapping[str, Any]) -> dict[str, str]:
    """The secrets in the fields of a site's or a region's declaration, by name."""
    found = _listed(
        fields.get("headers") or {}, fields.get(BODY), _auth_secret(fields.get(AUTH)), fields.get(CERTIFICATE)
    )
    return found | _of_proxy(fields.get(PROXY))


def with_declared(fields: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """Fields of a declaration with other values for the secrets that are named."""
    changed = dict(fields)
    headers, body, secret, certificate = _replaced(
        fields.get("headers") or {},
        fields.get(BODY),
        _auth_secret(fields.get(AUTH)),
        fields.get(CERTIFICATE),
        values,
    )
    if (auth := fields.get(AUTH)) and AUTH in values:
        changed[AUTH] = {name: value if name == "username" else secret for name, value in auth.items()}
    parts = {"headers": headers, BODY: body, CERTIFICATE: certificate, PROXY: _in_proxy(fields.get(PROXY), values)}
    return changed | {name: value for name, value in parts.items() if name in fields}


def shown_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Stored fields as people see them: nothing secret is in it, and what comes back means "as it was"."""
    return with_declared(fields, {name: shown(stored) for name, stored in declared(fields).items()})


def stored_fields(
    fields: Mapping[str, Any], before: Mapping[str, Any], ring: Callable[[], Ring]
) -> tuple[dict[str, Any], list[Flaw]]:
    """Declared fields as they are stored: what is new is sealed, what is shown stays as in `before`, which is stored.

    `ring` is asked only where something is sealed. The flaws are of secrets that can be neither.
    """
    had = {name.lower(): stored for name, stored in declared(before).items()}
    values: dict[str, str] = {}
    flaws: list[Flaw] = []
    for name, given in declared(fields).items():
        try:
            values[name] = _stored(name, given, had.get(name.lower()), ring)
        except ValueError as error:
            flaws.append(Flaw(field_of(name), str(error)))
    return with_declared(fields, values), flaws


def opened(values: Mapping[str, str], ring: Ring) -> dict[str, str]:
    """Stored secrets as they are meant. Errors: LockedError that names the secret."""
    found = {}
    for name, stored in values.items():
        try:
            found[name] = ring.open(name, stored)
        except LockedError as error:
            raise LockedError(f"{name} cannot be opened: {error}") from None
    return found


def renewed(values: Mapping[str, str], ring: Ring) -> dict[str, str]:
    """Stored or plain secrets under the ring's first key; what no key opens stays as it is."""
    found = {}
    for name, stored in values.items():
        try:
            found[name] = ring.renewed(name, stored)
        except LockedError:
            found[name] = stored
    return found


def field_of(name: str) -> str:
    """Where in a declaration a secret is."""
    return f"headers.{name.removeprefix(HEADER)}" if name.startswith(HEADER) else name


def without_credentials(proxy: str | None) -> str:
    """A proxy's URL without user and password, so what a secret of it is bound to."""
    return _CREDENTIALS.sub("", proxy or "", count=1)


def _stored(name: str, given: str, before: str | None, ring: Callable[[], Ring]) -> str:
    if is_shown(given):
        if before is None or shown(before) != given:
            raise ValueError(
                f"{given} stands for a secret that was stored here, and is not the one that is: write it out"
            )
        # One that an older release left plain is sealed by the way.
        return before if given != UNSEALED else _sealed(name, before, _asked(ring))
    if given.startswith(PREFIX):
        raise ValueError(
            f"{PREFIX!r} begins what stands for a stored secret: write the secret itself, which cannot begin so"
        )
    keys = _asked(ring)
    if before is not None and is_stored(before) and keys.holds(name, before, given):
        return before
    return _sealed(name, given, keys)


def _asked(ring: Callable[[], Ring]) -> Ring:
    """The keys. Errors: ValueError where they are unfit or cannot be read."""
    try:
        return ring()
    except WorkbenchError as error:
        raise ValueError(f"this is a secret, and what it would be sealed with cannot be used: {error}") from None


def _sealed(name: str, value: str, ring: Ring) -> str:
    if not ring:
        raise ValueError(f"this is a secret, which is kept sealed, and there is no key to seal it with: {HOW}")
    return ring.seal(name, value)


def _listed(
    headers: Mapping[str, str], body: str | None, secret: str | None, certificate: str | None
) -> dict[str, str]:
    found = {f"{HEADER}{name}": value for name, value in headers.items() if value and not is_public(name)}
    rest = {BODY: body, AUTH: secret, CERTIFICATE: certificate}
    return found | {name: value for name, value in rest.items() if value}


def _replaced(
    headers: Mapping[str, str],
    body: str | None,
    secret: str | None,
    certificate: str | None,
    values: Mapping[str, str],
) -> tuple[dict[str, str], str | None, str | None, str | None]:
    named = {name: values.get(f"{HEADER}{name}", value) for name, value in headers.items()}
    return named, values.get(BODY, body), values.get(AUTH, secret), values.get(CERTIFICATE, certificate)


def _auth_secret(auth: Mapping[str, str] | None) -> str | None:
    return (auth.get("password") or auth.get("token")) if auth else None


def _of_proxy(proxy: str | None) -> dict[str, str]:
    found = _CREDENTIALS.search(proxy) if proxy else None
    return {PROXY: found[0]} if found and found[0] else {}


def _in_proxy(proxy: str | None, values: Mapping[str, str]) -> str | None:
    if not proxy or PROXY not in values:
        return proxy
    return _CREDENTIALS.sub(lambda _: values[PROXY], proxy, count=1)
