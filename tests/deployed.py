"""What tests read of Dockerfile, docker-compose.yml and deploy/, as Docker and Kubernetes would."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
KUBERNETES = ROOT / "deploy" / "kubernetes"
OURS = "betterstack-workbench"


class Instruction(NamedTuple):
    word: str
    rest: str


def dockerfile() -> list[Instruction]:
    """The instructions, lines that go on joined, comments gone."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [Instruction(*line.split(maxsplit=1)) for line in joined if line.strip()]


def last(word: str) -> str:
    """The one of these instructions that counts."""
    return [each.rest for each in dockerfile() if each.word == word][-1]


def health_command() -> list[str]:
    """The image's health check, as the list that is executed."""
    command: list[str] = json.loads(last("HEALTHCHECK").split(" CMD ")[1])
    return command


def image_environment() -> dict[str, str]:
    """What the final stage sets."""
    return dict(word.split("=", 1) for word in shlex.split(last("ENV")))


def compose(path: str = "docker-compose.yml") -> dict[str, Any]:
    found: dict[str, Any] = load(ROOT / path)[0]
    return found


def our_services() -> dict[str, dict[str, Any]]:
    """The services that run our image."""
    return {name: each for name, each in compose()["services"].items() if each["image"].startswith(OURS)}


def secrets_of(service: dict[str, Any]) -> dict[str, str]:
    """The name of the file in /run/secrets -> the name of the secret."""
    listed = [{"source": each} if isinstance(each, str) else each for each in service.get("secrets", [])]
    return {each.get("target", each["source"]): each["source"] for each in listed}


def seconds(duration: str) -> float:
    """Compose's durations, as far as we use them."""
    found = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", duration)
    assert found, duration
    return 60 * int(found[1] or 0) + int(found[2] or 0)


def load(file: Path) -> list[Any]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all(file.read_text()))


def manifests() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every document below deploy/kubernetes, with its file."""
    for file in sorted(KUBERNETES.rglob("*.yaml")):
        for document in load(file):
            yield file, document


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    """The objects of a kind by name, patches of overlays aside."""
    found = [each for file, each in manifests() if each["kind"] == kind and "overlays" not in file.parts]
    return {each["metadata"]["name"]: each for each in found}
