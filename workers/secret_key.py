"""The installation's secret key: given by a setting, or made on first use beside the embedded servers' data."""

from __future__ import annotations

import os
import secrets
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

from pipeline.errors import UnavailableError, WorkbenchError
from pipeline.settings import Settings

FILE = "secret.key"
SHORTEST = 32  # letters; 32 random bytes in base64 are 44
HOW = "set BETTERSTACK_SECRET_KEY (make one with `openssl rand -base64 32`) to the same value for every role"


def find(settings: Settings) -> bytes | None:
    """The secret key where there is one; never makes it. Errors: WorkbenchError where it is unfit."""
    if settings.secret_key is not None:
        return _fit(settings.secret_key.get_secret_value(), "BETTERSTACK_SECRET_KEY")
    return _read(settings.data_dir / FILE)


def ensure_where_ours(settings: Settings) -> bytes | None:
    """The secret key, made where the servers are embedded; None where they are not and nobody gave one."""
    return ensure(settings) if _ours(settings) else find(settings)


def ensure(settings: Settings) -> bytes:
    """The secret key; with embedded servers it is made where it is missing. Errors: WorkbenchError."""
    found = find(settings)
    if found is not None:
        return found
    if not _ours(settings):
        raise WorkbenchError(f"There is no secret key that a region's keys could be derived from: {HOW}.")
    file = settings.data_dir / FILE
    _make(file)
    made = _read(file)
    assert made is not None
    return made


def _ours(settings: Settings) -> bool:
    """Whether the servers are those of the data dir; a role of `up` is given their addresses."""
    return settings.redis == settings.model_copy(update={"redis_url": None}).redis


def _read(file: Path) -> bytes | None:
    try:
        if file.stat().st_mode & 0o077:
            file.chmod(0o600)  # a copy that came back from a backup
        return _fit(file.read_text(encoding="ascii"), str(file))
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise WorkbenchError(f"{file} holds no key: restore it from a backup, or remove it to have a new one") from None
    except OSError as error:
        raise UnavailableError(f"{file} cannot be read: {error.strerror}") from None


def _make(file: Path) -> None:
    """Two processes may do this at once: both write whole files, the first one's stays."""
    mine = file.with_name(f"{FILE}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(b64encode(secrets.token_bytes(32)).decode() + "\n")
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):
            os.link(mine, file)
    except OSError as error:
        raise UnavailableError(f"{file} cannot be made: {error.strerror}. Start `betterstack up` first.") from None
    finally:
        mine.unlink(missing_ok=True)


def _fit(text: str, where: str) -> bytes:
    key = text.strip()
    if len(key) < SHORTEST:
        raise WorkbenchError(
            f"{where} has {len(key)} letters, which can be guessed: give it {SHORTEST} or more, such as the output of "
            "`openssl rand -base64 32`"
        )
    return key.encode()
