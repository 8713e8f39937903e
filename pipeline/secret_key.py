"""The installation's secret keys: given by a setting, or made on first use beside the embedded servers' data.

Several stand one after the other, the newest first: with commas or line breaks between in BETTERSTACK_SECRET_KEY, one a
line in the file.
"""

from __future__ import annotations

import os
import re
import secrets
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.errors import UnavailableError, WorkbenchError
from pipeline.ring import Ring
from pipeline.secrets import HOW
from pipeline.settings import Settings

FILE = "secret.key"
VARIABLE = "BETTERSTACK_SECRET_KEY"
SHORTEST = 32  # letters; 32 random bytes in base64 are 44


class Keyring:
    """The ring as it is now, for those who run for long: a file is read again when it was written anew."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen: tuple[int, ...] | None = None
        self._ring = Ring()

    def __call__(self) -> Ring:
        """Errors: WorkbenchError where a key is unfit."""
        if self._settings.secret_key is not None:
            self._ring = self._ring or ring(self._settings)
            return self._ring
        try:
            found = (self._settings.data_dir / FILE).stat()
            seen = found.st_ino, found.st_mtime_ns, found.st_size
        except OSError:
            seen = None
        if seen is None or seen != self._seen:
            self._ring, self._seen = ring(self._settings), seen
        return self._ring


def ring(settings: Settings) -> Ring:
    """All keys that are there; never makes one. Errors: WorkbenchError where one is unfit."""
    if settings.secret_key is not None:
        return Ring(_keys(settings.secret_key.get_secret_value(), VARIABLE))
    return Ring(_read(settings.data_dir / FILE) or ())


def held(settings: Settings) -> Sequence[str]:
    """The ids of the keys at hand; none where they cannot be read."""
    try:
        return ring(settings).ids
    except WorkbenchError:
        return ()


def ring_where_ours(settings: Settings) -> Ring:
    """All keys; where the servers are embedded the first is made when it is missing: what an edit seals with."""
    return ring(settings) or (Ring(ensure_all(settings)) if _ours(settings) else Ring())


def ensure(settings: Settings) -> bytes:
    """The newest key; with embedded servers it is made where it is missing. Errors: WorkbenchError."""
    return ensure_all(settings)[0]


def ensure_all(settings: Settings) -> Sequence[bytes]:
    """All keys, likewise."""
    if found := ring(settings):
        return found.keys
    if not _ours(settings):
        raise WorkbenchError(f"There is no secret key that a region's keys could be derived from: {HOW}.")
    file = settings.data_dir / FILE
    _make(file)
    made = _read(file)
    assert made is not None
    return made


def with_new_key(settings: Settings) -> Ring:
    """A new key put before those of the file. Whoever seals meanwhile holds the edit lock. Errors: WorkbenchError."""
    return write(settings, [new_key(), *ensure_all(settings)])


def write(settings: Settings, keys: Sequence[bytes]) -> Ring:
    """The file with these keys and no others, in one step. Errors: UnavailableError."""
    file = settings.data_dir / FILE
    mine = _written(file, keys)
    try:
        mine.replace(file)
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        mine.unlink(missing_ok=True)
        raise UnavailableError(f"{file} cannot be written: {error.strerror}") from None
    return Ring(keys)


def new_key() -> bytes:
    return b64encode(secrets.token_bytes(32))


def _ours(settings: Settings) -> bool:
    """Whether the servers are those of the data dir; a role of `up` is given their addresses."""
    own = settings.model_copy(update={"redis_url": None, "database_url": None})
    return settings.redis == own.redis and settings.database == own.database


def _read(file: Path) -> Sequence[bytes] | None:
    try:
        if file.stat().st_mode & 0o077:
            file.chmod(0o600)  # a copy that came back from a backup
        return _keys(file.read_text(encoding="ascii"), str(file))
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise WorkbenchError(f"{file} holds no key: restore it from a backup, or remove it to have a new one") from None
    except OSError as error:
        raise UnavailableError(f"{file} cannot be read: {error.strerror}") from None


def _make(file: Path) -> None:
    """Two processes may do this at once: both write whole files, the first one's stays."""
    mine = _written(file, [new_key()])
    try:
        with suppress(FileExistsError):
            os.link(mine, file)
    except OSError as error:
        raise UnavailableError(f"{file} cannot be made: {error.strerror}. Start `betterstack up` first.") from None
    finally:
        mine.unlink(missing_ok=True)


def _written(file: Path, keys: Sequence[bytes]) -> Path:
    """A file beside it with the keys, on the disk and for its owner alone."""
    mine = file.with_name(f"{FILE}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(b"".join(key + b"\n" for key in keys))
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        mine.unlink(missing_ok=True)
        raise UnavailableError(f"{file} cannot be made: {error.strerror}. Start `betterstack up` first.") from None
    return mine


def _keys(text: str, where: str) -> Sequence[bytes]:
    # A comma at the end of a line, or an empty line, is no key.
    found = [key for key in re.split(r"[,\r\n]+", text) if key.strip()] or [""]
    return [_fit(key, where, several=len(found) > 1) for key in found]


def _fit(text: str, where: str, *, several: bool = False) -> bytes:
    key = text.strip()
    if len(key) < SHORTEST:
        what = f"One of the keys in {where} (commas stand between keys, so none is in one)" if several else where
        raise WorkbenchError(
            f"{what} has {len(key)} letters, which can be guessed: give it {SHORTEST} or more, such as the output of "
            "`openssl rand -base64 32`"
        )
    return key.encode()
