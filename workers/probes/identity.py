"""TLS with a client certificate of the site's own: contexts that show it, built apart from the loop and kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from pipeline.vocabulary import Outcome
from workers.probes.secure import settled, tls_context
from workers.probes.trace import ProbeError

CONTEXTS_KEPT = 128  # at 0.7 MB each with all authorities in it: 90 MB where as many certificates are in use

Key = tuple[str, bool, ssl.SSLContext]

_kept: OrderedDict[Key, ssl.SSLContext] = OrderedDict()
# Reading the authorities takes 12 ms, during which the loop would measure everybody else wrong.
_builder = ThreadPoolExecutor(1, thread_name_prefix="client-certificate")


async def context_showing(pem: str, *, verify: bool, trusting: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """The context that shows a client certificate (PEM: certificate, chain and key); `trusting` lends its authorities.

    Errors: ProbeError (blocked) where the PEM cannot be used, without a word of it.
    """
    base = trusting or tls_context()
    key = (pem, verify, base)
    context = _kept.get(key)
    if context is None:
        build = partial(_build, pem, base if verify else None)
        context = await asyncio.get_running_loop().run_in_executor(_builder, build)
        _kept[key] = context
        while len(_kept) > CONTEXTS_KEPT:
            _kept.popitem(last=False)
    else:
        _kept.move_to_end(key)
    return context


def _build(pem: str, base: ssl.SSLContext | None) -> ssl.SSLContext:
    context = settled(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), verify=base is not None)
    try:
        with _file_of(pem) as path:
            context.load_cert_chain(path, password=_no_password)
    except (OSError, ValueError):  # an SSLError is an OSError; what it says may quote what it read
        detail = "The client certificate of this site cannot be used: it is no PEM of a certificate with its key"
        raise ProbeError(Outcome.BLOCKED, detail) from None
    if base is not None:
        context.load_verify_locations(
            cadata=b"".join(base.get_ca_certs(binary_form=True)), capath=os.environ.get("SSL_CERT_DIR")
        )
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")  # else OpenSSL asks for it at the terminal


@contextlib.contextmanager
def _file_of(pem: str) -> Iterator[str]:
    """A file that holds a text for as long as it is read: in memory where there is such a thing."""
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        with open(os.memfd_create("client-certificate"), "wb") as memory:  # noqa: PTH123 - a descriptor
            memory.write(pem.encode())
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
        return
    with tempfile.NamedTemporaryFile(prefix="betterstack-") as file:  # for this user alone, and gone at once
        file.write(pem.encode())
        file.flush()
        yield file.name
