"""Every error in one of two shapes: `{"problems": [{"field", "message"}]}`, or `{"error": "what to do"}`."""

from __future__ import annotations

import logging
import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from pipeline.errors import InvalidInputError, NotFoundError, Problem, UnavailableError, WorkbenchError
from pipeline.misfits import problems_of

log = logging.getLogger(__name__)

RETRY_AFTER_S = "5"


class ProblemOut(BaseModel):
    """One thing wrong with one field, named by its path."""

    field: str
    message: str
    line: int | None = Field(None, description="where in the file, when one was sent")


class ProblemsOut(BaseModel):
    """What was sent cannot be used. Nothing was changed."""

    problems: list[ProblemOut]


class ErrorOut(BaseModel):
    """What went wrong, and what to do."""

    error: str


RESPONSES: dict[int | str, dict[str, Any]] = {
    422: {"model": ProblemsOut, "description": "What was sent cannot be used; nothing was changed"},
    503: {"model": ErrorOut, "description": "Postgres is away"},
}
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ErrorOut, "description": "There is no such thing"}}


def install(api: FastAPI) -> None:
    for kind, handler in HANDLERS.items():
        api.add_exception_handler(kind, handler)


def _invalid(_request: Request, error: Any) -> JSONResponse:
    return _problems(error.problems)


def _misfit(_request: Request, error: Any) -> JSONResponse:
    """FastAPI's own judgement of a request, in our shape: `body.url` becomes `url`."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return _problems(
            [Problem("body", f"this is not JSON: {first['ctx']['error']}, at character {first['loc'][1]}")]
        )
    return _problems([Problem(_field(problem.field), problem.message) for problem in problems_of(error)])


def _not_found(_request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status_code=404)


def _refused(_request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": str(error.detail)}, status_code=error.status_code, headers=error.headers)


def _away(request: Request, error: Any) -> JSONResponse:
    reason = str(error.__cause__ or error)
    log.warning("no answer", extra={"action": "api_unavailable", "path": request.url.path, "reason": reason})
    return JSONResponse({"error": str(error)}, status_code=503, headers={"Retry-After": RETRY_AFTER_S})


HANDLERS: dict[type[Exception], Any] = {
    InvalidInputError: _invalid,
    RequestValidationError: _misfit,
    NotFoundError: _not_found,
    HTTPException: _refused,
    UnavailableError: _away,
    WorkbenchError: _away,  # whatever else we raise on purpose is a fault of the installation, and says what to do
}


def _problems(problems: list[Problem]) -> JSONResponse:
    found = [ProblemOut(field=problem.field, message=problem.message, line=problem.line) for problem in problems]
    return JSONResponse(ProblemsOut(problems=found).model_dump(exclude_none=True), status_code=422)


def _field(path: str) -> str:
    """Where in what was sent: without FastAPI's first step, and with `sites` for a list of them."""
    path = re.sub(r"^(?:body|query|path|header)\.", "", path)
    return re.sub(r"^one(?:\.|$)|^many(?=\[|$)", lambda step: "sites" if step[0] == "many" else "", path) or "body"
