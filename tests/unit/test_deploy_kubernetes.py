"""The manifests hold together: what kustomize and the API server would take, and nobody would notice until it runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.deployed import (
    KUBERNETES,
    OURS,
    ROOT,
    dockerfile,
    health_command,
    image_environment,
    last,
    load,
    manifests,
    of_kind,
    our_services,
    seconds,
)
from workers import streams

NEWEST, OLDEST = "1.37", "1.31"  # Kubernetes keeps three versions alive; some clusters are behind those
DEPLOYMENTS = of_kind("Deployment")
KEDA = jsonschema.Draft202012Validator(json.loads((ROOT / "tests/schemas/keda.json").read_text()))
PATCHES = {KUBERNETES / "overlays/example/redis.yaml"}  # parts of objects


def pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    return found


def containers(name: str) -> list[dict[str, Any]]:
    return [*pod(name).get("initContainers", []), *pod(name)["containers"]]


def labels(name: str) -> dict[str, str]:
    found: dict[str, str] = DEPLOYMENTS[name]["spec"]["template"]["metadata"]["labels"]
    return found


def selected(selector: dict[str, Any]) -> set[str]:
    """The Deployments whose pods have these labels."""
    wanted = selector.get("matchLabels", selector).items()
    return {name for name in DEPLOYMENTS if wanted <= labels(name).items()}


@pytest.mark.parametrize("version", [NEWEST, OLDEST])
def test_each_manifest_is_of_its_schema(version: str) -> None:
    seen = set()
    for _, document in manifests():
        if not document["apiVersion"].startswith(("keda.sh/", "kustomize.config.k8s.io/")):
            kubernetes_validate.validate(document, version, strict=True)
            seen.add(document["kind"])
    assert seen == {"Deployment", "Namespace", "NetworkPolicy", "PodDisruptionBudget", "Service"}


def test_each_object_of_keda_is_of_its_schema() -> None:
    ours = [each for file, each in manifests() if each["apiVersion"].startswith("keda.sh/") and file not in PATCHES]
    assert {each["kind"] for each in ours} == {"ScaledObject", "TriggerAuthentication"}
    for each in ours:
        KEDA.validate(each)


def test_keda_would_not_get_a_number_for_text() -> None:
    scaled = json.loads(json.dumps(of_kind("ScaledObject")["prober-eu"]))
    scaled["spec"]["triggers"][0]["metadata"]["streamLength"] = 400
    assert not KEDA.is_valid(scaled)


def test_kustomize_finds_every_file_and_no_file_is_left_out() -> None:
    for file in KUBERNETES.rglob("kustomization.yaml"):
        [found] = load(file)
        named = [*found["resources"], *(each["path"] for each in found.get("patches", []))]
        paths = [(file.parent / each).resolve() for each in named]
        assert all(path.is_file() or (path / "kustomization.yaml").is_file() for path in paths), file
        beside = {each for each in file.parent.glob("*.yaml") if each != file}
        assert beside == {path for path in paths if path.is_file()}, file


def test_every_selector_selects_the_pods_that_it_is_for() -> None:
    for name, deployment in DEPLOYMENTS.items():
        assert selected(deployment["spec"]["selector"]) == {name}
        for spread in pod(name).get("topologySpreadConstraints", []):
            assert selected(spread["labelSelector"]) == {name}
    for name, budget in of_kind("PodDisruptionBudget").items():
        assert selected(budget["spec"]["selector"]) == {name}
        # A budget that never lets the last one go blocks every drain.
        assert (
            "maxUnavailable" in budget["spec"] or DEPLOYMENTS[name]["spec"]["replicas"] > budget["spec"]["minAvailable"]
        )
    for name, service in of_kind("Service").items():
        assert selected(service["spec"]["selector"]) == {name}


def test_a_pod_reaches_what_it_is_given_a_key_to_and_the_rest_is_shut() -> None:
    policies = of_kind("NetworkPolicy")
    assert selected(policies["betterstack-shut"]["spec"]["podSelector"]) == DEPLOYMENTS.keys()
    assert policies["betterstack-shut"]["spec"].keys() == {"podSelector", "policyTypes"}
    assert not any(each["spec"].get("ingress") for each in policies.values()), "there is no sign-in"
    for server, secret in {"postgres": "betterstack_database_url", "redis": "betterstack_redis_url"}.items():
        reaching = selected(policies[f"betterstack-{server}"]["spec"]["podSelector"])
        assert reaching == {name for name in DEPLOYMENTS if secret in keys(name)}
    assert selected(policies["betterstack-sites"]["spec"]["podSelector"]) == {"supervisor", "prober-eu"}


def keys(name: str) -> set[str]:
    """The keys of its Secret that a pod mounts, each under its own name."""
    [secret] = [volume["secret"] for volume in pod(name)["volumes"] if "secret" in volume]
    assert all(item["key"] == item["path"] for item in secret["items"])
    return {item["key"] for item in secret["items"]}


def test_each_role_is_what_it_is_in_docker_compose() -> None:
    services = our_services()
    images = {service["image"] for service in services.values()}
    assert DEPLOYMENTS.keys() == services.keys() - {"migrate"}
    for name in DEPLOYMENTS:
        [main] = pod(name)["containers"]
        assert main["args"] == services[name]["command"]
        assert {each["image"] for each in containers(name)} == images
        given = {each if isinstance(each, str) else each["target"] for each in services[name]["secrets"]}
        assert keys(name) == given
        assert pod(name)["terminationGracePeriodSeconds"] >= seconds(services[name]["stop_grace_period"])
        migrates = [each["args"] for each in pod(name).get("initContainers", [])] == [services["migrate"]["command"]]
        assert migrates == ("betterstack_database_url" in given)
    told = {each["name"]: each["value"] for each in pod("app")["containers"][0]["env"]}
    given = services["app"]["environment"].items()
    # What compose takes from its own environment has a default, which is that of the product.
    assert told.items() >= {(k, v) for k, v in given if not k.endswith("SECRETS_DIR") and not v.startswith("${")}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_each_pod_passes_the_restricted_standard(name: str) -> None:
    assert pod(name)["automountServiceAccountToken"] is False
    assert pod(name)["enableServiceLinks"] is False
    user, group = map(int, last("USER").split(":"))
    security = pod(name)["securityContext"]
    assert security["runAsNonRoot"]
    assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (user, group, group)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in containers(name):
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert each["resources"]["requests"].keys() == {"cpu", "memory"}
        assert each["resources"]["limits"].keys() == {"memory"}, "throttled, it would measure itself"
        [folder] = [mount["mountPath"] for mount in each["volumeMounts"] if mount["name"] == "secrets"]
        assert {"name": "BETTERSTACK_SECRETS_DIR", "value": folder} in each["env"]
        assert "/tmp" in {mount["mountPath"] for mount in each["volumeMounts"]}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_is_asked_what_the_image_asks_itself(name: str) -> None:
    [main] = pod(name)["containers"]
    for probe in ("startupProbe", "livenessProbe"):
        assert main[probe]["exec"]["command"] == health_command()
    assert "BETTERSTACK_ALIVE_FILE" in image_environment()


def test_the_ports_match() -> None:
    [main] = pod("app")["containers"]
    [port] = main["ports"]
    [served] = of_kind("Service")["app"]["spec"]["ports"]
    assert served["targetPort"] == port["name"] == main["readinessProbe"]["tcpSocket"]["port"]
    assert {"name": "BETTERSTACK_PORT", "value": str(port["containerPort"])} in main["env"]
    assert {each.rest for each in dockerfile() if each.word == "EXPOSE"} == {str(port["containerPort"])}


def test_the_secrets_that_are_referenced_are_those_that_the_readme_tells_how_to_make() -> None:
    rows = re.findall(r"^\| (`.+`) \| (`.+`) \|", (KUBERNETES / "README.md").read_text(), re.MULTILINE)
    told = {name.strip("`"): set(re.findall(r"`(\w+)`", keys)) for name, keys in rows}
    wanted: dict[str, set[str]] = {}
    for name in DEPLOYMENTS:
        [secret] = [volume["secret"]["secretName"] for volume in pod(name)["volumes"] if "secret" in volume]
        wanted[secret] = wanted.get(secret, set()) | keys(name)
    for each in of_kind("TriggerAuthentication").values():
        for target in each["spec"]["secretTargetRef"]:
            wanted.setdefault(target["name"], set()).add(target["key"])
    assert told == wanted


def test_keda_counts_what_is_in_the_regions_stream() -> None:
    for name, scaled in of_kind("ScaledObject").items():
        target = scaled["spec"]["scaleTargetRef"]["name"]
        assert target == name
        assert "replicas" not in DEPLOYMENTS[target]["spec"], "each apply would undo what KEDA did"
        [trigger] = scaled["spec"]["triggers"]
        region = pod(target)["containers"][0]["args"][-1]
        assert trigger["metadata"]["stream"] == streams.checks(region)
        assert "consumerGroup" not in trigger["metadata"], "with one, KEDA does not look at the length"
        assert trigger["authenticationRef"]["name"] in of_kind("TriggerAuthentication")
        assert 1 <= scaled["spec"]["minReplicaCount"] <= scaled["spec"]["maxReplicaCount"]


def test_the_example_says_what_is_yours_and_changes_nothing_else() -> None:
    folder = KUBERNETES / "overlays/example"
    [overlay], [patch], [namespace] = (
        load(folder / f"{each}.yaml") for each in ("kustomization", "redis", "namespace")
    )
    assert [each["name"] for each in overlay["images"]] == [OURS]
    assert namespace["metadata"]["name"] == overlay["namespace"]
    [ours], [theirs] = patch["spec"]["triggers"], of_kind("ScaledObject")[patch["metadata"]["name"]]["spec"]["triggers"]
    assert ours | {"metadata": theirs["metadata"]} == theirs
    assert {key for key in theirs["metadata"] if theirs["metadata"][key] != ours["metadata"].get(key)} == {"address"}


def test_another_region_is_the_folder_under_another_name(tmp_path: Path) -> None:
    told = (KUBERNETES / "regions/eu/kustomization.yaml").read_text()
    [(old, new)] = re.findall(r"sed -i 's/\\b(\w+)\\b/(\w+)/g'", told)
    for file in (KUBERNETES / "regions/eu").glob("*.yaml"):
        (tmp_path / file.name).write_text(re.sub(rf"\b{old}\b", new, file.read_text()))
    scaling = {each["kind"]: each for each in load(tmp_path / "scaling.yaml")}
    [deployment] = load(tmp_path / "prober.yaml")
    assert deployment["metadata"]["name"] == scaling["ScaledObject"]["spec"]["scaleTargetRef"]["name"] == "prober-us"
    assert scaling["ScaledObject"]["spec"]["triggers"][0]["metadata"]["stream"] == streams.checks("us")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["args"] == ["prober", "--region", "us"]
    [secret] = [each["secret"] for each in deployment["spec"]["template"]["spec"]["volumes"] if "secret" in each]
    assert secret["secretName"] == "betterstack-region-us"
