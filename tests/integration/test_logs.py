"""With BETTERSTACK_LOG_FORMAT=json, every line of every role is one JSON object, whoever wrote it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline import product

OTHERS = """
import logging, threading, warnings
from workers.lifecycle import configure_logging, lifetime
configure_logging("app", json=True, level="INFO")
with lifetime("7.1", json=True):
    import app.asgi
    from streamlit.logger import get_logger, update_formatter
    get_logger("streamlit.config").warning("theirs, known before")
    get_logger("streamlit.later").warning("theirs,\\nin two lines")
    update_formatter()
    get_logger("streamlit.config").warning("after an option changed")
    logging.getLogger("uvicorn.error").warning("the server's")
    logging.getLogger("alembic.runtime").warning("the migration's")
    warnings.warn("old")
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    {}["missing"]
"""


def lines(stderr: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in stderr.splitlines()]
    assert all(isinstance(line, dict) for line in found)
    return found


def test_what_others_write_in_the_app_is_an_object_a_line_too() -> None:
    done = subprocess.run([sys.executable, "-c", OTHERS], capture_output=True, text=True, timeout=60, check=False)
    found = lines(done.stderr)
    assert done.returncode == 1
    assert done.stdout == ""
    assert {line["role"] for line in found} == {"app"}
    said = [line["message"] for line in found]
    for message in ("theirs, known before", "theirs,\nin two lines", "after an option changed", "the server's"):
        assert said.count(message) == 1
    assert said.count("the migration's") == 1
    assert any(line["logger"] == "py.warnings" and "old" in line["message"] for line in found)
    traces = {line["action"]: line["exception"] for line in found if "exception" in line}
    assert "ZeroDivisionError" in traces["thread_broke"]
    assert "KeyError: 'missing'" in traces["role_failed"]


def test_up_tells_machines_all_that_it_tells_people(data_dir: Path) -> None:
    command = [sys.executable, "-m", "workers.cli", "up", "--data-dir", str(data_dir), "--port", "0"]
    environment = {**os.environ, "BETTERSTACK_LOG_FORMAT": "json"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as up:
        assert up.stderr is not None
        heard = []
        for line in up.stderr:
            heard.append(line)
            if "Workbench ready" in line:
                break
        up.terminate()
        printed, rest = up.communicate(timeout=30)
    found = lines("".join(heard) + rest)
    assert printed == ""
    assert any("Workbench ready" in line["message"] and line["action"] == "said" for line in found)
    for action in ("role_started", "role_stopped"):
        of = {line["role"]: line["version"] for line in found if line["action"] == action and "version" in line}
        assert set(of) == {"supervisor", "app", "pusher", "recorder", "roller", "prober local-a", "prober local-b"}
        assert set(of.values()) == {product.version()}


def test_a_role_that_cannot_go_on_says_so_in_the_log() -> None:
    environment = {**os.environ, "BETTERSTACK_LOG_FORMAT": "json", "BETTERSTACK_HOST": "0.0.0.0"}
    servers = {"BETTERSTACK_DATABASE_URL": "postgresql://127.0.0.1:1/x", "BETTERSTACK_REDIS_URL": "redis://127.0.0.1:1"}
    command = [sys.executable, "-m", "workers.cli", "app"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment | servers)
    [_, failed] = lines(done.stderr)
    assert done.returncode == 1
    assert failed["action"] == "role_failed"
    assert "exception" not in failed, "a message that says what to do needs no trace"
