"""The C programs of the benches: compiled by the system's cc where one is wanted, into a folder of the caller's."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror")
LIBRARIES = ("-lssl", "-lcrypto")


class NotCompiledError(RuntimeError):
    """There is no compiler, or no OpenSSL to compile against; the message says what to do."""


def compiled(name: str, folder: Path) -> Path:
    """The program of `tests/bench/NAME.c`, in that folder. Errors: NotCompiledError."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NotCompiledError("There is no C compiler: run `sh .ci/bench-packages` as root (Debian: gcc, libssl-dev)")
    program = folder / name
    command = [compiler, *FLAGS, "-o", str(program), str(HERE / f"{name}.c"), *LIBRARIES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "openssl/" in done.stderr:
        raise NotCompiledError(
            "OpenSSL's headers are missing: run `sh .ci/bench-packages` as root (Debian: libssl-dev)"
        )
    if done.returncode:
        raise NotCompiledError(f"{name}.c does not compile here:\n{done.stderr}")
    return program


@contextmanager
def target(program: Path, *, delay_us: int, certificate: Path | None = None) -> Iterator[dict[str, int]]:
    """The compiled target, running: its ports by scheme, `https` with a certificate only.

    The certificate file holds the key and the chain. It ends with the block, and with this process however that ends.
    """
    command = [str(program), "--delay-us", str(delay_us), "--http", "0"]
    if certificate is not None:
        command += ["--https", "0", "--certificate", str(certificate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the target ended at once, with {process.wait()}")
            yield {scheme: port for scheme, port in json.loads(line).items() if port}
        finally:
            process.stdin.close()
            process.wait(timeout=10)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port: int = chosen.getsockname()[1]
        return port
