"""Options that several commands take alike, handed to each as one argument."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any


def grouped(
    command: Callable[..., None], argument: str, options: Mapping[str, Any], read: Callable[[dict[str, Any]], Any]
) -> Callable[..., None]:
    """Give a command these options in place of one `argument`: that gets what `read` makes of them.

    `options` are parameters with their annotations; what nobody says is None.
    """
    asks = inspect.signature(command, eval_str=True)

    @wraps(command)
    def asked(**given: Any) -> None:
        values = {name: given.pop(name) for name in options}
        command(**given, **{argument: read(values)})

    ours = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in options.items()
    ]
    own = list(asks.parameters.values())
    place = list(asks.parameters).index(argument)
    asked.__signature__ = asks.replace(parameters=[*own[:place], *ours, *own[place + 1 :]])  # type: ignore[attr-defined]
    return asked
