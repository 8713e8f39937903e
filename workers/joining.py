"""What a machine elsewhere needs to serve a region, as words to run there. Pure."""

from __future__ import annotations

import shlex
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from pipeline.errors import WorkbenchError
from pipeline.vocabulary import Region
from workers import access

SEALED_SCHEMES = ("rediss", "rediss+cluster")
OPEN_SCHEMES = ("redis", "redis+cluster")
PUBLIC = "BETTERSTACK_PUBLIC_REDIS_URL"


class Join(NamedTuple):
    """The environment and the command of a prober elsewhere, and the same for a container."""

    region: str
    generation: int
    environment: dict[str, str]
    command: list[str]
    container: list[str]


def join(region: Region, secret_key: bytes, public_url: str, *, image: str, own_authority: bool) -> Join:
    """`image` is that of our Dockerfile. Where `own_authority`, the server's certificate is signed by nobody public."""
    environment = {
        "BETTERSTACK_REDIS_URL": _signed_in(public_url, access.user(region.key), access.password(secret_key, region)),
        "BETTERSTACK_REGION_KEY": access.region_key(secret_key, region),
    }
    role = ["prober", "--region", region.key]
    container = shlex.split("docker run --detach --restart unless-stopped --read-only --tmpfs /tmp")
    for name in environment:  # by name: values on a command line are seen by everybody there
        container += ["--env", name]
    if own_authority:
        environment["BETTERSTACK_REDIS_CA"] = "ca.pem"
        container += ["--volume", "./ca.pem:/ca.pem:ro", "--env", "BETTERSTACK_REDIS_CA=/ca.pem"]
    container += ["--name", f"betterstack-{region.key}", image, *role]
    return Join(region.key, region.access, environment, ["betterstack", *role], container)


def script(join: Join) -> str:
    """For a shell: comments, exports and the command, so that the whole can be pasted."""
    lines = [
        f"# A prober for region {join.region}, on the machine that it is to probe from. Keep this to yourself:",
        f"# it holds the region's credentials (generation {join.generation}); --rotate makes them useless.",
        *(f"export {name}={shlex.quote(value)}" for name, value in join.environment.items()),
        *(
            ["# ca.pem: a copy of the certificate authority that BETTERSTACK_REDIS_CA names here"]
            if "BETTERSTACK_REDIS_CA" in join.environment
            else []
        ),
        shlex.join(join.command),
        "",
        "# or, after the same exports, in a container",
        f"# {shlex.join(join.container)}",
    ]
    return "\n".join(lines)


def public_url(public: str | None, own: str | None, *, insecure: bool) -> str:
    """Where probers elsewhere reach Redis: the setting, or the server we use ourselves where that may be reached.

    Errors: WorkbenchError that says what to set.
    """
    url, where = (public, PUBLIC) if public is not None else (_reachable(own), "BETTERSTACK_REDIS_URL")
    if url is None:
        raise WorkbenchError(
            f"Nobody elsewhere reaches this Redis: it is known by {'a local address' if own else 'a socket'} only. "
            f"Run one of your own (BETTERSTACK_DATABASE_URL and BETTERSTACK_REDIS_URL name both servers), and set "
            f"{PUBLIC} to where it is reached from elsewhere, such as rediss://redis.example.org:6380."
        )
    scheme = urlsplit(url).scheme
    if scheme not in SEALED_SCHEMES + OPEN_SCHEMES or not urlsplit(url).netloc:
        raise WorkbenchError(f"{where} is no address of a Redis: write rediss://host:port")
    if scheme in OPEN_SCHEMES and not insecure:
        raise WorkbenchError(
            f"{where} is {scheme}://, which anybody on the way can read and change: serve Redis over TLS and write "
            f"{scheme.replace('redis', 'rediss')}://. In a network that is private anyway, add --insecure."
        )
    return url


def _signed_in(url: str, user: str, password: str) -> str:
    """The URL with these credentials in place of any that it had."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


def _reachable(own: str | None) -> str | None:
    """Our own Redis's address, without parameters that hold here only, where others can know it by that."""
    if own is None or urlsplit(own).scheme not in SEALED_SCHEMES + OPEN_SCHEMES:
        return None
    host = urlsplit(own).hostname
    try:
        local = host is None or host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        local = False
    return None if local else own.partition("?")[0]
