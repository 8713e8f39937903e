"""Headers of a check for a region elsewhere travel sealed: Redis holds them, only the region's probers read them.

AES-256-GCM with the region's key; the site, the region and the header's name are bound to it, so that a sealed value
put elsewhere does not open. `cryptography` is loaded with the first sealed header: most probers never meet one.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import structs

from pipeline.errors import WorkbenchError
from pipeline.settings import Settings
from pipeline.vocabulary import Check, Region, Spec
from workers import access, secret_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
SEALED_LIMIT = 20_000  # series whose sealed headers are kept, some 10 MB
VARIABLE = "BETTERSTACK_REGION_KEY"


class SealedError(Exception):
    """Headers that cannot be opened, or not be sealed; the message is a tick's detail and says what to set."""


class Sealer:
    """The pusher's side. A spec is sealed once a revision, not once a check: chance never repeats a nonce so."""

    def __init__(self, secret: bytes | None) -> None:
        self._secret = secret
        self._sealed: dict[tuple[int, int], tuple[int, int, dict[str, str]]] = {}

    def seal(self, check: Check, region: Region) -> Check:
        """The check as it may travel. Errors: SealedError where there is nothing to seal with."""
        if region.managed or not check.spec.headers:
            return check
        if self._secret is None:
            raise SealedError(f"headers for a region elsewhere are sealed and no secret key is there: {secret_key.HOW}")
        series = check.site_id, check.region_id
        known = self._sealed.get(series)
        if known is None or known[:2] != (check.revision, region.access):
            key = access.region_key(self._secret, region)
            if len(self._sealed) >= SEALED_LIMIT:
                self._sealed.clear()
            known = check.revision, region.access, sealed(check.spec.headers, key, *series)
            self._sealed[series] = known
        return structs.replace(check, spec=structs.replace(check.spec, headers=known[2]), sealed=region.access)


class Opener:
    """The prober's side: with the region's key, or beside the workbench with the secret key itself.

    Errors: WorkbenchError where the environment's key is none.
    """

    def __init__(self, region: str, settings: Settings) -> None:
        self._region = region
        self._settings = settings
        self._key = settings.region_key.get_secret_value().strip() if settings.region_key else None
        if self._key is not None and not _is_key(self._key):
            raise WorkbenchError(f"{VARIABLE} is not a key: copy all of what `{_join(region)}` prints")

    def proof(self, consumer: str) -> str | None:
        """For the lease; None where the environment gave no key."""
        return access.proof(self._key, consumer) if self._key is not None else None

    def spec(self, check: Check) -> Spec:
        """The spec with its headers as they are meant. Errors: SealedError."""
        if not check.sealed:
            return check.spec
        key = self._key or self._derived(check)
        if key is None:
            raise SealedError(f"this check's headers are sealed: set {VARIABLE} to what `{_join(self._region)}` prints")
        try:
            headers = opened(check.spec.headers, key, check.site_id, check.region_id)
        except ValueError:
            raise SealedError(
                f"{VARIABLE} does not open this check's headers, which are of generation {check.sealed}: "
                f"set it to what `{_join(self._region)}` prints"
            ) from None
        return structs.replace(check.spec, headers=headers)

    def _derived(self, check: Check) -> str | None:
        try:
            secret = secret_key.find(self._settings)
        except WorkbenchError as error:
            raise SealedError(str(error)) from None
        if secret is None:
            return None
        return access.region_key(secret, Region(check.region_id, self._region, "", access=check.sealed))


def sealed(headers: Mapping[str, str], key: str, site_id: int, region_id: int) -> dict[str, str]:
    """Each value as base64 of nonce, cipher text and tag; the names stay."""
    box = _box(key)
    found: dict[str, str] = {}
    for name, value in headers.items():
        nonce = os.urandom(NONCE_BYTES)
        found[name] = b64encode(nonce + box.encrypt(nonce, value.encode(), _bound(site_id, region_id, name))).decode()
    return found


def opened(headers: Mapping[str, str], key: str, site_id: int, region_id: int) -> dict[str, str]:
    """What `sealed` was given. Errors: ValueError where the key, the site, the region or the name is another."""
    from cryptography.exceptions import InvalidTag

    box = _box(key)
    found: dict[str, str] = {}
    for name, value in headers.items():
        packed = b64decode(value, validate=True)
        try:
            plain = box.decrypt(packed[:NONCE_BYTES], packed[NONCE_BYTES:], _bound(site_id, region_id, name))
        except InvalidTag:
            raise ValueError(f"the header {name} does not open") from None
        found[name] = plain.decode()
    return found


def _bound(site_id: int, region_id: int, name: str) -> bytes:
    return f"{site_id}/{region_id}/{name}".encode()


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
