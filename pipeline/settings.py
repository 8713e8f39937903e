"""Settings: what the environment says, and where the embedded servers are when it says nothing."""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

# sun_path holds 108 bytes, and Postgres appends "/.s.PGSQL.5432" to the folder.
LONGEST_SOCKET_FOLDER = 90
PLAIN = re.compile(r"[\w./-]+", re.ASCII)  # a comma would be a list of hosts, & another parameter


class Settings(BaseSettings):
    """Every setting is an environment variable with the prefix `BETTERSTACK_`."""

    model_config = SettingsConfigDict(env_prefix="BETTERSTACK_", extra="ignore")

    data_dir: Path = Field(Path(".betterstack"), description="where the embedded servers keep everything")
    database_url: str | None = Field(None, description="postgresql://… ; embedded when unset")
    redis_url: str | None = Field(None, description="redis://… or rediss://… ; embedded when unset")
    host: str = Field("127.0.0.1", description="address the app listens on")
    port: int = Field(8501, ge=0, le=65535, description="port the app listens on")
    log_format: Literal["console", "json"] = Field("console", description="how the roles write their logs")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    prober_in_flight: int = Field(500, ge=1, le=20_000, description="probes at once in one prober process")

    @property
    def embedded(self) -> bool:
        """True where neither server is named, so that we start our own."""
        return self.database_url is None and self.redis_url is None

    @property
    def database(self) -> str:
        """The DSN in force: the named server, or the embedded one's socket."""
        if self.database_url is not None:
            return self.database_url
        return f"postgresql://postgres@/betterstack?host={socket_folder(self.data_dir)}&port=5432"

    @property
    def redis(self) -> str:
        """The Redis URL in force: the named server, or the embedded one's socket."""
        if self.redis_url is not None:
            return self.redis_url
        return f"unix://{socket_folder(self.data_dir)}/valkey.sock"


def socket_folder(data_dir: Path) -> Path:
    """Where the sockets of a data dir live: inside it, or in the temporary folder where its path is unfit."""
    inside = data_dir.resolve() / "run"
    if len(str(inside)) <= LONGEST_SOCKET_FOLDER and PLAIN.fullmatch(str(inside)):
        return inside
    digest = hashlib.blake2b(str(data_dir.resolve()).encode(), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"betterstack-{digest}"
