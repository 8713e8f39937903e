"""Keeps the roles running: one process each, and one prober for each region that is ours to serve.

What should happen is decided by two pure functions, `desired` and `step`; `Supervisor` carries it out.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TypeAlias

from pipeline.demo.cast import PREFIX
from pipeline.settings import Settings
from workers.lifecycle import SUPERVISOR_PID, Stop, stay_alive
from workers.scaling import Scaler, Served

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0
KILLED_RETRY_S = 2.0  # somebody killed it, or the memory ran out: it can start, so it is back within 3 s
HEALTHY_S = 30.0  # who lived this long starts from the first retry again
DRAIN_S = 10.0  # what a prober of a deleted region gets to finish its checks
BEAT_S = 0.1
ALIVE_FILE = "BETTERSTACK_ALIVE_FILE"
REGIONS_EVERY_S = 1.0

Command: TypeAlias = tuple[str, ...]  # the arguments after `betterstack`

ROLES = ("app", "pusher", "recorder", "roller")
# Who asks stops before who answers. With their seconds, 6.5 in sum: the servers want some of the ten as well.
STOP_ORDER = ((("app",), 1.0), (("pusher",), 1.0), (("prober",), 2.5), (("recorder", "roller", "demo"), 2.0))


def desired(served: Sequence[Served], roles: Sequence[str] = ROLES) -> dict[str, Command]:
    """Which processes should run, by name."""
    wanted: dict[str, Command] = {role: (role,) for role in roles}
    if any(key.startswith(PREFIX) for key, _ in served):
        wanted["demo"] = ("demo", "serve")
    for key, probers in served:
        wanted |= {f"prober {key} {number}": ("prober", "--region", key) for number in range(1, probers + 1)}
    return wanted


@dataclass(frozen=True, slots=True)
class Child:
    """What we know of one process; times are monotonic seconds. `failures` counts those in a row."""

    started_at: float
    failures: int = 0
    exited_at: float | None = None
    told_at: float | None = None
    killed: bool = False

    def started(self, now: float) -> Child:
        return replace(self, started_at=now, exited_at=None, told_at=None)

    def exited(self, now: float, code: int = 1) -> Child:
        """`code` is negative where a signal ended it."""
        lived_well = now - self.started_at >= HEALTHY_S
        return replace(self, exited_at=now, killed=code < 0, failures=1 if lived_well else self.failures + 1)

    def told(self, now: float) -> Child:
        return replace(self, told_at=now)

    @property
    def retry_s(self) -> float:
        """How long after its end it starts again."""
        if self.told_at is not None:
            return 0.0  # it ended since we said so
        longest_s = KILLED_RETRY_S if self.killed else LAST_RETRY_S
        return min(FIRST_RETRY_S * 2.0 ** min(self.failures - 1, 16), longest_s)


class Action(NamedTuple):
    """One thing to do: `tell` sends SIGTERM, `kill` SIGKILL, `forget` drops what has ended."""

    verb: Literal["start", "tell", "kill", "forget"]
    name: str


def step(now: float, wanted: Mapping[str, Command], children: Mapping[str, Child]) -> list[Action]:
    """What to do now, so that the children become what is wanted. Pure, and safe to repeat."""
    actions = [Action("start", name) for name in wanted if name not in children]
    for name, child in children.items():
        action = _step_of(now, child, wanted=name in wanted)
        if action is not None:
            actions.append(Action(action, name))
    return actions


def _step_of(now: float, child: Child, *, wanted: bool) -> Literal["start", "tell", "kill", "forget"] | None:
    if child.exited_at is not None:
        if not wanted:
            return "forget"
        return "start" if now - child.exited_at >= child.retry_s else None
    if child.told_at is not None:
        return "kill" if now - child.told_at >= DRAIN_S else None
    return None if wanted else "tell"


def stop_order(names: Sequence[str]) -> list[tuple[list[str], float]]:
    """Groups of names to stop one after the other, each with the seconds it gets."""
    return [([name for name in names if name.split()[0] in roles], seconds) for roles, seconds in STOP_ORDER]


class RegionWatch:
    """Looks once a second what to serve, in a thread of its own, so that a hanging database delays no restart."""

    def __init__(self, look: Callable[[], Sequence[Served]]) -> None:
        self._look = look
        self._stopped = Stop()
        self._thread = threading.Thread(target=self._run, name="region watch", daemon=True)
        self.latest: Sequence[Served] = ()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        failing = False
        while not self._stopped:
            try:
                self.latest = self._look()
                failing = False
            except Exception as error:  # noqa: BLE001 (whatever it was, the last known regions are better than none)
                # Said once, not every second; a trace through the pool adds nothing.
                if not failing:
                    reason = str(error).partition("\n")[0]
                    log.warning("regions unreadable", extra={"action": "regions_unreadable", "reason": reason})
                failing = True
            self._stopped.wait(REGIONS_EVERY_S)


@dataclass
class Supervisor:
    """Runs the roles with `environment` until told to stop. Call `run` in the main thread.

    `look` says which regions to serve by how many probers (see `workers.scaling`). `revive` starts again what has died
    of the embedded servers, and names it; `say` is told of each first start.
    """

    look: Callable[[], Sequence[Served]]
    environment: Mapping[str, str]
    roles: Sequence[str] = ROLES
    revive: Callable[[], Sequence[str]] = list
    say: Callable[[str], None] = lambda _line: None
    _children: dict[str, Child] = field(default_factory=dict, init=False)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)

    def run(self, stop: Stop, prepare: Callable[[], None]) -> None:
        """Start the app, which takes longest, then `prepare` what the others need, then keep all alive until told."""
        watch = RegionWatch(self.look)
        try:
            if "app" in self.roles:
                self._start(time.monotonic(), "app", ("app",))
            prepare()
            watch.start()
            while not stop.wait(BEAT_S):
                stay_alive()
                self._beat(time.monotonic(), desired(watch.latest, self.roles))
        finally:
            watch.stop()
            self._stop_all()

    def _beat(self, now: float, wanted: Mapping[str, Command]) -> None:
        for name in self.revive():
            log.warning("server restarted", extra={"action": "server_restarted", "server": name})
        self._reap(now)
        for verb, name in step(now, wanted, self._children):
            match verb:
                case "start":
                    self._start(now, name, wanted[name])
                case "tell":
                    self._processes[name].send_signal(signal.SIGTERM)
                    self._children[name] = self._children[name].told(now)
                case "kill":
                    _kill(self._processes[name])
                case "forget":
                    del self._children[name], self._processes[name]
                    log.info("role stopped", extra={"action": "role_stopped", "name_of_role": name})

    def _start(self, now: float, name: str, command: Command) -> None:
        # The alive file tells a container of us alone, since we are its first process.
        inherited = {key: value for key, value in self.environment.items() if key != ALIVE_FILE}
        # -P: a folder named `app` where somebody happens to stand must not become ours.
        self._processes[name] = subprocess.Popen(  # noqa: S603 (our own command line)
            [sys.executable, "-P", "-m", "workers.cli", *command],
            stdin=subprocess.DEVNULL,
            env={**inherited, SUPERVISOR_PID: str(os.getpid())},
            process_group=0,  # a terminal's Ctrl-C is for us alone, we stop them in order
        )
        known = self._children.get(name)
        if known is None:
            self.say(f"{name.capitalize()} started")
        self._children[name] = Child(now) if known is None else known.started(now)

    def _reap(self, now: float) -> None:
        for name, child in self._children.items():
            code = self._processes[name].poll()
            if code is None or child.exited_at is not None:
                continue
            self._children[name] = gone = child.exited(now, code)
            if child.told_at is None:
                facts = {"name_of_role": name, "code": code, "retry_in_s": gone.retry_s}
                log.warning("role ended", extra={"action": "role_ended", **facts})

    def _stop_all(self) -> None:
        for names, seconds in stop_order(list(self._processes)):
            processes = [self._processes[name] for name in names]
            for process in processes:
                process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + seconds
            for process in processes:
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    _kill(process)
                    process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The whole group, so that nothing a role has started stays behind."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def utc_now() -> datetime:
    return datetime.now(UTC)


def run(settings: Settings, stop: Stop) -> None:
    """Run the probers of managed regions until told to stop; the other roles are somebody else's."""
    scaler = Scaler(settings.database, clock=utc_now)
    Supervisor(scaler.look, os.environ, roles=()).run(stop, lambda: None)
