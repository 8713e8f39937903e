"""Become a server that ends with its parent: `launch.py PARENT SIGNAL IDENTITY FOLDER COMMAND…`.

A script of its own between our fork and the server's exec, run by a bare interpreter (-I -S, 15 ms): what happens
here needs the child's process, and Python code in a `preexec_fn` is not safe once there are threads.

IDENTITY is `same:0:0`, `namespace:UID:GID` (be UID inside a user namespace, while files stay our own) or
`user:UID:GID` (become that user). With no COMMAND only the identity is tried out.
"""

import ctypes  # here at the top: once we are another user, we may not be able to read our own Python
import os
import sys

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000


def set_parent_death_signal(signum: int) -> bool:
    """Ask the kernel for `signum` when the thread that forked us ends; False where no kernel offers that."""
    if sys.platform != "linux":
        return False
    return _libc("prctl", PR_SET_PDEATHSIG, signum, 0, 0, 0) == 0


def main(argv: list[str]) -> None:
    parent, signum, identity, folder, *command = argv
    _assume(identity)
    # After the change of identity, which would clear it, and before asking who our parent is: one of the two tells.
    watched = set_parent_death_signal(int(signum))
    if os.getppid() != int(parent):
        sys.exit("the supervisor has ended already")
    if not command:
        return
    for path in (command[0], folder):
        _check_reachable(path)
    os.chdir(folder)
    if not watched:
        _watch_from_outside(int(parent), int(signum))
    os.execv(command[0], command)  # noqa: S606 (becoming the server is the point)


def _assume(identity: str) -> None:
    kind, uid, gid = identity.split(":")
    if kind == "user":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    elif kind == "namespace":
        _enter_namespace(int(uid), int(gid))


def _enter_namespace(uid: int, gid: int) -> None:
    """To Postgres we are `uid`, which is not root; to the file system we stay who we are, so nothing is chowned."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    if _libc("unshare", CLONE_NEWUSER) != 0:
        sys.exit("this system allows no user namespace")
    for name, content in {
        "setgroups": "deny",
        "uid_map": f"{uid} {outer_uid} 1",
        "gid_map": f"{gid} {outer_gid} 1",
    }.items():
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 (pathlib doubles the start-up time)
            file.write(content)


def _check_reachable(path: str) -> None:
    parts = path.split("/")
    for end in range(2, len(parts) + 1):
        step = "/".join(parts[:end])
        if not os.access(step, os.X_OK):
            owner = os.stat(step).st_uid  # noqa: PTH116 (as above)
            sys.exit(
                f"May not enter {step} (of uid {owner}): Postgres runs without root's privileges. "
                f"Run as that user, or have {path} elsewhere."
            )


def _watch_from_outside(parent: int, signum: int) -> None:
    """Without a death signal, a grandchild looks once a second whether the parent is still there."""
    import time

    server = os.getpid()
    if os.fork():
        os.wait()
        return
    if os.fork():
        os._exit(0)
    while _alive(parent):
        time.sleep(1.0)
        if not _alive(server):
            os._exit(0)
    os.kill(server, signum)
    os._exit(0)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _libc(function: str, *arguments: int) -> int:
    return int(getattr(ctypes.CDLL(None), function)(*arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
