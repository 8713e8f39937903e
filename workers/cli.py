"""`betterstack`: the roles, and what a person types.

A role is matched before anything is imported: Typer costs as much memory as a whole prober may.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer import Typer

    from pipeline.settings import Settings

# Who needs one server only: a secret that a process never gets is one that it cannot lose.
ENOUGH = {"prober": "redis_url", **dict.fromkeys(("app", "roller", "migrate", "cli"), "database_url")}


HAVE_IT = {"up", "doctor", "env", "restore"}  # commands that say more of a data dir


def main() -> None:
    from pipeline.errors import WorkbenchError

    take_data_dir(sys.argv)
    gc.set_threshold(50_000, 20, 50)  # importing makes objects that stay: looking for garbage meanwhile costs a tenth
    try:
        match sys.argv[1:]:
            case [("pusher" | "recorder" | "roller" | "supervisor" | "app") as role]:
                run_role(role)
            case ["prober", "--region", region]:
                run_role("prober", region)
            case _:
                command_line()()
    except WorkbenchError as error:
        sys.exit(f"betterstack: {error}")


def take_data_dir(words: list[str]) -> None:
    """Take `--data-dir FOLDER` for every command, wherever it stands; those that have it as their own get it told."""
    end = words.index("--") if "--" in words else len(words)
    for place, word in enumerate(words[:end]):
        name, equals, folder = word.partition("=")
        if name == "--data-dir" and (equals or place + 1 < end):
            folder = folder if equals else words[place + 1]
            del words[place : place + (1 if equals else 2)]
            os.environ["BETTERSTACK_DATA_DIR"] = folder
            if words[1:2] and words[1] in HAVE_IT:
                words[2:2] = ["--data-dir", folder]
            return


def run_role(role: str, region: str | None = None) -> None:
    """Run one role in this process, until a signal."""
    from pipeline import product
    from workers.lifecycle import ALIVE, Stop, configure_logging, die_with_parent, exit_on_signals, lifetime

    settings = read_settings(role)
    name = f"{role} {region}" if region else role
    json = settings.log_format == "json"
    configure_logging(name, json=json, level=settings.log_level)
    ALIVE.path = settings.alive_file
    die_with_parent()
    with lifetime(product.version(), json=json):
        if role == "app":
            exit_on_signals()
            _serve(settings)
        elif role == "prober":
            import_module("workers.prober").run(settings, region)
        else:
            import_module(f"workers.{role}").run(settings, Stop.on_signals())


def read_settings(role: str | None = None) -> Settings:
    """What the environment says. Some need one of the two servers only. Errors: WorkbenchError, by variable."""
    from pydantic import ValidationError

    from pipeline.errors import WorkbenchError
    from pipeline.settings import Settings

    try:
        settings = Settings()
    except ValidationError as error:
        problems = [f"BETTERSTACK_{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors()]
        raise WorkbenchError("; ".join(problems)) from None
    # The public address counts, too: `join-command` tells of the authority, whatever we use ourselves.
    sealed = any((url or "").startswith("rediss") for url in (settings.redis_url, settings.public_redis_url))
    if settings.redis_ca is not None and not sealed:
        raise WorkbenchError("BETTERSTACK_REDIS_CA is set, and BETTERSTACK_REDIS_URL is no rediss:// that uses it.")
    alone = role in ENOUGH and getattr(settings, ENOUGH[role]) is not None
    if not alone and (settings.database_url is None) != (settings.redis_url is None):
        named, missing = ("DATABASE", "REDIS") if settings.redis_url is None else ("REDIS", "DATABASE")
        raise WorkbenchError(
            f"BETTERSTACK_{named}_URL is set, BETTERSTACK_{missing}_URL is not. Set both to use servers of your own, "
            "or neither to have them started here."
        )
    return settings


def command_line() -> Typer:
    """Everything that is not a role alone. A new command is a module in `workers/commands` and a name here."""
    import typer

    from workers.commands import (
        apply,
        check,
        demo,
        dictionary,
        doctor,
        env,
        export,
        exports,
        imports,
        lake,
        maintenance,
        migrate,
        regions,
        report,
        restore,
        roles,
        secrets,
        sites,
        slo,
        up,
    )

    app = typer.Typer(
        help="Uptime monitoring for people who think in data. "
        "Every command takes --data-dir FOLDER, that of the `up` that it is about; else BETTERSTACK_DATA_DIR says it.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for module in (
        up,
        demo,
        doctor,
        apply,
        sites,
        regions,
        slo,
        maintenance,
        secrets,
        export,
        lake,
        exports,
        report,
        imports,
        dictionary,
        env,
        migrate,
        restore,
        roles,
    ):
        app.add_typer(module.app)
    app.add_typer(regions.app, name="region", hidden=True)  # `region join-command eu` reads better of one
    app.command()(check.check)
    return app


def _serve(settings: Settings) -> None:
    import logging

    import uvicorn

    from workers.commands.up import refuse_exposed
    from workers.lifecycle import stay_alive

    async def turning() -> None:
        stay_alive()

    # In a container everything but loopback is the outside, and what is published decides who reaches it.
    way_out = "name what it is called where its port is published: BETTERSTACK_ALLOWED_HOSTS=localhost"
    refuse_exposed(settings.host, insecure=bool(settings.allowed_hosts), way_out=way_out)
    config = uvicorn.Config(
        "app.asgi:app",  # a name, since workers may not import the app
        host=settings.host,
        port=settings.port,
        workers=1,  # Streamlit's sessions live in one process
        log_config=None,  # ours is configured already
        timeout_graceful_shutdown=1,  # open pages would hold it for ever
        callback_notify=turning,
        timeout_notify=1,
    )
    config.load()
    # Only now: with the app comes Streamlit, which takes uvicorn's loggers over, at a level of its own.
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
    server = uvicorn.Server(config)
    server.run()
    if not server.started:
        sys.exit(1)


if __name__ == "__main__":
    main()
