"""`betterstack`: the roles, and what a person types.

A role is matched before anything is imported: Typer costs as much memory as a whole prober may.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer import Typer

    from pipeline.settings import Settings


def main() -> None:
    from pipeline.errors import WorkbenchError

    gc.set_threshold(50_000, 20, 50)  # importing makes objects that stay: looking for garbage meanwhile costs a tenth
    try:
        match sys.argv[1:]:
            case [("pusher" | "recorder" | "roller" | "app") as role]:
                run_role(role)
            case ["prober", "--region", region]:
                run_role("prober", region)
            case _:
                command_line()()
    except WorkbenchError as error:
        sys.exit(f"betterstack: {error}")


def run_role(role: str, region: str | None = None) -> None:
    """Run one role in this process, until a signal."""
    from workers.lifecycle import Stop, configure_logging, die_with_parent

    settings = read_settings()
    name = f"{role} {region}" if region else role
    configure_logging(name, json=settings.log_format == "json", level=settings.log_level)
    die_with_parent()
    if role == "app":
        _serve(settings)
    elif role == "prober":
        import_module("workers.prober").run(settings, region)
    else:
        import_module(f"workers.{role}").run(settings, Stop.on_signals())


def read_settings() -> Settings:
    """What the environment says. Errors: WorkbenchError, by variable."""
    from pydantic import ValidationError

    from pipeline.errors import WorkbenchError
    from pipeline.settings import Settings

    try:
        settings = Settings()
    except ValidationError as error:
        problems = [f"BETTERSTACK_{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors()]
        raise WorkbenchError("; ".join(problems)) from None
    if (settings.database_url is None) != (settings.redis_url is None):
        named, missing = ("DATABASE", "REDIS") if settings.redis_url is None else ("REDIS", "DATABASE")
        raise WorkbenchError(
            f"BETTERSTACK_{named}_URL is set, BETTERSTACK_{missing}_URL is not. Set both to use servers of your own, "
            "or neither to have them started here."
        )
    return settings


def command_line() -> Typer:
    """Everything that is not a role alone. A new command is a module in `workers/commands` and a name here."""
    import typer

    from workers.commands import apply, check, env, export, regions, roles, sites, up

    app = typer.Typer(
        help="Uptime monitoring for people who think in data.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for module in (up, apply, sites, regions, export, env, roles):
        app.add_typer(module.app)
    app.command()(check.check)
    return app


def _serve(settings: Settings) -> None:
    import logging

    import uvicorn

    config = uvicorn.Config(
        "app.asgi:app",  # a name, since workers may not import the app
        host=settings.host,
        port=settings.port,
        workers=1,  # Streamlit's sessions live in one process
        log_config=None,  # ours is configured already
        timeout_graceful_shutdown=1,  # open pages would hold it for ever
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
