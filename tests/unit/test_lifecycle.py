"""The edges of a role: what it logs, how it is told to stop, and that it ends with its supervisor."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import psutil
import pytest

from workers.lifecycle import SUPERVISOR_PID, Stop, configure_logging, stop_event

ROLE = """
import sys
from workers.lifecycle import Stop, die_with_parent
stop = Stop.on_signals()
die_with_parent()
print("ready", flush=True)
stop.wait()
"""
SUPERVISOR = f"""
import os, subprocess, sys
environment = {{**os.environ, **({{"{SUPERVISOR_PID}": str(os.getpid())}} if sys.argv[1] == "supervised" else {{}})}}
child = subprocess.Popen([sys.executable, "-c", sys.argv[2]], env=environment, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture(autouse=True)
def handlers_and_loggers_as_they_were() -> Iterator[None]:
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    for signum, handler in handlers.items():
        signal.signal(signum, handler)
    logging.captureWarnings(capture=False)
    root.handlers[:] = before
    root.setLevel(level)


def test_a_line_for_eyes_has_time_role_message_and_facts(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("recorder", json=False, level="INFO")
    logging.getLogger("any").info("transition %s", "recorded", extra={"action": "transition_recorded", "site_id": 7})
    clock, line = capsys.readouterr().err.split(" ", 1)
    assert len(clock) == len("HH:MM:SS")
    assert line == "recorder transition recorded site_id=7\n"


def test_a_warning_for_eyes_says_that_it_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("pusher", json=False, level="INFO")
    logging.getLogger("any").warning("behind")
    assert capsys.readouterr().err.endswith("pusher WARNING behind\n")


def test_a_line_for_machines_is_an_object_with_its_action(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("prober eu", json=True, level="INFO")
    try:
        int("odd")
    except ValueError:
        logging.getLogger("workers.prober").exception("check failed", extra={"action": "check_failed", "slot": {1}})
    entry = json.loads(capsys.readouterr().err)
    assert entry["role"] == "prober eu"
    assert entry["action"] == "check_failed"
    assert entry["level"] == "ERROR"
    assert entry["slot"] == "{1}"
    assert entry["at"].endswith("+00:00")
    assert "ValueError: invalid literal" in entry["exception"]


def test_what_is_below_the_level_and_one_line_a_request_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("prober eu", json=False, level="INFO")
    logging.getLogger("any").debug("detail")
    logging.getLogger("httpx").info("HTTP Request: GET")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_stop_and_ends_the_wait(signum: signal.Signals) -> None:
    stop = Stop.on_signals()
    assert not stop.is_set()
    threading.Timer(0.01, os.kill, (os.getpid(), signum)).start()
    assert stop.wait(10.0)
    assert stop.is_set()


def test_every_thread_that_waits_is_woken() -> None:
    stop = Stop()
    threads = [threading.Thread(target=stop.wait, args=(30.0,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    stop.set()
    for thread in threads:
        thread.join(5.0)
    assert not any(thread.is_alive() for thread in threads)


def test_a_signal_sets_the_event_of_the_running_loop() -> None:
    async def wait_for_it() -> bool:
        event = stop_event()
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10.0):
            return await event.wait()

    assert asyncio.run(wait_for_it())


def start(kind: str) -> tuple[subprocess.Popen[str], psutil.Process]:
    """A supervisor, and its child that is ready."""
    command = [sys.executable, "-c", SUPERVISOR, kind, ROLE]
    supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    return supervisor, psutil.Process(int(supervisor.stdout.readline()))


def test_a_role_ends_with_its_supervisor_even_by_kill() -> None:
    supervisor, role = start("supervised")
    with supervisor:
        supervisor.kill()
        _, alive = psutil.wait_procs([role], timeout=10)
        assert alive == []


def test_a_role_started_by_hand_outlives_its_shell() -> None:
    shell, role = start("by hand")
    with shell:
        shell.kill()
        shell.wait()
        _, alive = psutil.wait_procs([role], timeout=0.3)
        assert alive == [role]
        role.terminate()
        _, alive = psutil.wait_procs([role], timeout=10)
        assert alive == []
