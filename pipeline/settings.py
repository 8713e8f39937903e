"""Settings: what the environment says, and where the embedded servers are when it says nothing."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field, FilePath, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline import guard
from pipeline.lake.files import LakeRoot

# sun_path holds 108 bytes, and Postgres appends "/.s.PGSQL.5432" to the folder.
LONGEST_SOCKET_FOLDER = 90
PLAIN = re.compile(r"[\w./-]+", re.ASCII)  # a comma would be a list of hosts, & another parameter


SECRETS_DIR = "BETTERSTACK_SECRETS_DIR"
CA_PARAMETER = "ssl_ca_certs="


class Settings(BaseSettings):
    """Every setting is an environment variable with the prefix `BETTERSTACK_`.

    What should stand in no environment may be a file instead: in the folder that BETTERSTACK_SECRETS_DIR names, called
    like the variable in small letters (`betterstack_database_url`). The environment wins.
    """

    model_config = SettingsConfigDict(env_prefix="BETTERSTACK_", extra="ignore")

    def __init__(self, **given: Any) -> None:
        super().__init__(_secrets_dir=os.environ.get(SECRETS_DIR), **given)

    data_dir: Path = Field(Path(".betterstack"), description="where the embedded servers keep everything")
    database_url: str | None = Field(None, description="postgresql://… ; embedded when unset")
    redis_url: str | None = Field(None, description="redis://… or rediss://…, redis+cluster://… ; embedded when unset")
    host: str = Field("127.0.0.1", description="address the app listens on")
    port: int = Field(8501, ge=0, le=65535, description="port the app listens on")
    allowed_hosts: str = Field("", description="names the app may be called by, with commas between; * for any")
    log_format: Literal["console", "json"] = Field("console", description="how the roles write their logs")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    prober_in_flight: int = Field(500, ge=1, le=20_000, description="probes at once in one prober process")
    secret_key: SecretStr | None = Field(None, description="what the keys of regions elsewhere are derived from")
    public_redis_url: str | None = Field(None, description="rediss://host:port where probers elsewhere reach Redis")
    redis_ca: FilePath | None = Field(None, description="certificate authorities that rediss:// believes, as PEM")
    region_key: SecretStr | None = Field(None, description="a prober elsewhere opens sealed parts of checks with it")
    alive_file: Path | None = Field(None, description="touched while the role is well, for a container's health check")
    lake: str | None = Field(
        None,
        description="where old ticks go: a folder, or s3://bucket/prefix; unset: `lake` below the data dir when "
        "embedded, and with servers of your own they stay in Postgres",
    )
    keep_ticks_days: int = Field(30, ge=2, description="days that ticks stay in Postgres; in the lake for ever")
    keep_hours_days: int = Field(400, ge=32, description="days that hourly rollups stay; daily ones stay for ever")
    private_targets: str | None = Field(
        None,
        description="addresses that are not public: allow (when embedded), deny (with servers of your own), or the "
        "networks that are allowed, with commas between",
    )

    @field_validator("private_targets")
    @classmethod
    def _is_a_policy(cls, value: str | None) -> str | None:
        if value:
            guard.read_policy(value)
        return value or None

    @property
    def targets(self) -> guard.Policy:
        """The rule of addresses in force: people watch their own machine from it, unless others share it."""
        return guard.read_policy(self.private_targets or ("allow" if self.embedded else "deny"))

    @property
    def embedded(self) -> bool:
        """True where neither server is named, so that we start our own."""
        return self.database_url is None and self.redis_url is None

    @property
    def lake_root(self) -> LakeRoot | None:
        """Where the lake lies; None where ticks stay in Postgres: a container's own folder is no archive."""
        if self.lake:
            return LakeRoot.of(self.lake)
        return LakeRoot.of(self.data_dir / "lake") if self.embedded else None

    @property
    def called(self) -> list[str]:
        """The names in `allowed_hosts`."""
        return [name.strip() for name in self.allowed_hosts.split(",") if name.strip()]

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
            return _believing(self.redis_url, self.redis_ca)
        return f"unix://{socket_folder(self.data_dir)}/valkey.sock"


def _believing(redis_url: str, authorities: Path | None) -> str:
    """The URL with the certificate authorities in it, as redis-py reads them; a plain connection has none."""
    if authorities is None or not redis_url.startswith("rediss") or CA_PARAMETER in redis_url:
        return redis_url
    return f"{redis_url}{'&' if '?' in redis_url else '?'}{CA_PARAMETER}{quote(str(authorities.resolve()))}"


def socket_folder(data_dir: Path) -> Path:
    """Where the sockets of a data dir live: inside it, or in the temporary folder where its path is unfit."""
    inside = data_dir.resolve() / "run"
    if len(str(inside)) <= LONGEST_SOCKET_FOLDER and PLAIN.fullmatch(str(inside)):
        return inside
    digest = hashlib.blake2b(str(data_dir.resolve()).encode(), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"betterstack-{digest}"
