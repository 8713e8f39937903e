"""A check's secrets travel sealed: Redis holds them, only its region's probers read them.

AES-256-GCM with the region's key. Bound to each is the site, the region, where it would be sent and its own name, so
that whoever can write to Redis cannot have a secret sent elsewhere. `cryptography` is loaded with the first secret:
most probers never meet one.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from pipeline import secret_key, secrets
from pipeline.errors import WorkbenchError
from pipeline.ring import LockedError, Ring, RingSource, is_stored, unpacked
from pipeline.settings import Settings
from pipeline.vocabulary import Check, Network, Region, Spec
from workers import access

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
SEALED_LIMIT = 20_000  # series whose sealed secrets are kept, some 20 MB
VARIABLE = "BETTERSTACK_REGION_KEY"
OUTLIVED_S = 3600.0  # that a key opens after it is gone: five confirmations, 300 s apart and 120 s long, are 35 min


class SealedError(Exception):
    """Secrets that cannot be opened, or not be sealed; the message is a tick's detail and says what to set."""


class _Known(NamedTuple):
    """What one series' revision looks like on the way."""

    revision: int
    access: int
    spec: Spec
    network: Network


class Sealer:
    """The pusher's side: opens what is stored, and seals it for a region once a revision, not once a check."""

    def __init__(self, ring: Ring, newest: RingSource | None = None) -> None:
        self.ring = ring
        self._newest = newest or (lambda: ring)
        self._sealed: dict[tuple[int, int], _Known] = {}

    def seal(self, check: Check, region: Region) -> Check:
        """The check as it may travel. Errors: SealedError where there is nothing to seal with."""
        if not secrets.has_secrets(check.spec, check.network):
            return check
        series = check.site_id, check.region_id
        known = self._sealed.get(series)
        if known is None or (known.revision, known.access) != (check.revision, region.access):
            if len(self._sealed) >= SEALED_LIMIT:
                self._sealed.clear()
            known = self._sealed[series] = self._seal(check, region)
        return structs.replace(check, spec=known.spec, network=known.network, sealed=region.access)

    def _seal(self, check: Check, region: Region) -> _Known:
        if self.ring.first is None:
            raise SealedError(f"this site's secrets travel sealed and no secret key is there: {secrets.HOW}")
        try:
            plain = self._plain(check)
        except LockedError as error:
            raise SealedError(f"{error}. Add that key to {secret_key.VARIABLE}, or write the secret anew.") from None
        values = sealed(plain, access.region_key(self.ring.first, region), check)
        spec, network = secrets.with_secrets(check.spec, values), secrets.with_proxy_secret(check.network, values)
        return _Known(check.revision, region.access, spec, network)

    def _plain(self, check: Check) -> dict[str, str]:
        stored = secrets.secrets_of(check.spec, check.network)
        try:
            return secrets.opened(stored, self.ring)
        except LockedError:
            return secrets.opened(stored, self._newest())  # an edit may know of a new key before the beat does


class Opener:
    """The prober's side: with the region's key, or beside the workbench with the secret keys themselves.

    Errors: WorkbenchError where the environment's key is none.
    """

    def __init__(self, region: str, settings: Settings, *, clock: Callable[[], float] = monotonic) -> None:
        self._region = region
        self._clock = clock
        self._keyring = secret_key.Keyring(settings)
        self._held: tuple[bytes, ...] = ()
        self._gone: dict[bytes, float] = {}
        self._key = settings.region_key.get_secret_value().strip() if settings.region_key else None
        self._opened: dict[tuple[int, int], tuple[Spec, Network, int, Spec, Network]] = {}
        if self._key is not None and not _is_key(self._key):
            raise WorkbenchError(f"{VARIABLE} is not a key: copy all of what `{_join(region)}` prints")

    def proof(self, consumer: str) -> str | None:
        """For the lease; None where the environment gave no key."""
        return access.proof(self._key, consumer) if self._key is not None else None

    def open(self, check: Check) -> tuple[Spec, Network]:
        """Spec and network with their secrets as they are meant. Errors: SealedError."""
        if not check.sealed:
            # What was stored sealed and was pushed so, by whoever knew no better, is no header to send.
            if secrets.has_secrets(check.spec, check.network) and any(
                map(is_stored, secrets.secrets_of(check.spec, check.network).values())
            ):
                raise SealedError("this check came with its secrets as they are stored: upgrade the pusher")
            return check.spec, check.network
        series = check.site_id, check.region_id
        known = self._opened.get(series)
        # All of it is compared, not its revision: nobody has our copy of a secret sent elsewhere.
        if known is None or known[:3] != (check.spec, check.network, check.sealed):
            if len(self._opened) >= SEALED_LIMIT:
                self._opened.clear()
            known = self._opened[series] = (check.spec, check.network, check.sealed, *self._open(check))
        return known[3:]

    def _open(self, check: Check) -> tuple[Spec, Network]:
        keys = [self._key] if self._key is not None else self._derived(check)
        if not keys:
            raise SealedError(
                f"this check's secrets are sealed: set {VARIABLE} to what `{_join(self._region)}` prints, or, beside "
                f"the workbench, {secret_key.VARIABLE} to what it has"
            )
        found = secrets.secrets_of(check.spec, check.network)
        for key in keys:
            try:
                values = opened(found, key, check)
            except ValueError:
                continue
            return secrets.with_secrets(check.spec, values), secrets.with_proxy_secret(check.network, values)
        named = VARIABLE if self._key is not None else secret_key.VARIABLE
        raise SealedError(
            f"{named} does not open this check's secrets, which are of generation {check.sealed}: set "
            f"{VARIABLE} to what `{_join(self._region)}` prints"
        )

    def _derived(self, check: Check) -> list[str]:
        """The region's key, of each of the secret keys: the pusher may not have heard yet that there is a newer one.

        Those that a rotation took away come last: what was sent before, such as a confirmation, is still on its way.
        """
        try:
            ring = self._keyring()
        except WorkbenchError as error:
            raise SealedError(str(error)) from None
        region = Region(check.region_id, self._region, "", access=check.sealed)
        return [access.region_key(key, region) for key in (*ring.keys, *self._outlived(ring))]

    def _outlived(self, ring: Ring) -> list[bytes]:
        now = self._clock()
        self._gone |= {key: now for key in self._held if key not in self._gone}
        self._gone = {key: at for key, at in self._gone.items() if key not in ring.keys and now - at < OUTLIVED_S}
        self._held = tuple(ring.keys)
        return list(self._gone)


def sealed(values: dict[str, str], key: str, check: Check) -> dict[str, str]:
    """Each secret as base64 of nonce, cipher text and tag."""
    box, found = _box(key), {}
    for name, value in values.items():
        nonce = os.urandom(NONCE_BYTES)
        packed = nonce + box.encrypt(nonce, value.encode("utf-8", "surrogatepass"), _bound(check, name))
        found[name] = urlsafe_b64encode(packed).decode().rstrip("=")
    return found


def opened(values: dict[str, str], key: str, check: Check) -> dict[str, str]:
    """What `sealed` was given. Errors: ValueError where the key, or anything that is bound to it, is another."""
    from cryptography.exceptions import InvalidTag

    box, found = _box(key), {}
    for name, value in values.items():
        packed = unpacked(value)
        try:
            plain = box.decrypt(packed[:NONCE_BYTES], packed[NONCE_BYTES:], _bound(check, name))
        except InvalidTag:
            raise ValueError(f"{name} does not open") from None
        found[name] = plain.decode("utf-8", "surrogatepass")
    return found


def _bound(check: Check, name: str) -> bytes:
    """Whom a secret is for: what an intruder would have to change in order to be sent it."""
    spec, network = check.spec, check.network
    where = (spec.url, spec.verify_tls, secrets.without_credentials(network.proxy), *network.resolvers)
    return "\0".join(map(str, (check.site_id, check.region_id, name, *where))).encode("utf-8", "surrogatepass")


@lru_cache(maxsize=256)
def _box(key: str) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(_bytes(key))


def _bytes(key: str) -> bytes:
    return urlsafe_b64decode(key + "=" * (-len(key) % 4))


def _is_key(key: str) -> bool:
    try:
        return len(_bytes(key)) == 32
    except ValueError:
        return False


def _join(region: str) -> str:
    return f"betterstack region join-command {region}"
