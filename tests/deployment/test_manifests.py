"""The manifests agree with the image and with the settings that they name."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.dockerfile import parse

from todo_api.observability.tracing import LAST_EXPORT_SECONDS
from todo_api.settings import Settings

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
MANIFESTS = [
    part
    for name in ("todo-api", "migrate")
    for part in yaml.safe_load_all((DEPLOY / f"kubernetes/{name}.yaml").read_text())
]
SERVICE, JOB = (next(part for part in MANIFESTS if part["kind"] == kind) for kind in ("Deployment", "Job"))
PODS = {"service": SERVICE["spec"]["template"]["spec"], "migration": JOB["spec"]["template"]["spec"]}
FLY = tomllib.loads((DEPLOY / "fly.toml").read_text())
SETTINGS = {name.upper() for name in Settings.model_fields}

pod = pytest.mark.parametrize("pod", PODS.values(), ids=PODS)


def container(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod's one container."""
    (only,) = pod["containers"]
    found: dict[str, Any] = only
    return found


def given(pod: dict[str, Any]) -> dict[str, str]:
    """The settings that the manifest itself gives."""
    return {pair["name"]: pair["value"] for pair in container(pod).get("env", [])}


@pod
def test_pod_runs_as_the_images_user_on_a_read_only_file_system(pod: dict[str, Any]) -> None:
    identity = pod["securityContext"]

    assert f"{identity['runAsUser']}:{identity['runAsGroup']}" == parse(PROJECT / "Dockerfile")[-1].last("USER").rest
    assert container(pod)["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("names", [*map(given, PODS.values()), FLY["env"]], ids=[*PODS, "fly"])
def test_every_setting_exists(names: dict[str, str]) -> None:
    assert set(names) <= SETTINGS


@pytest.mark.parametrize(
    "names",
    [{**given(PODS["service"]), "DATABASE_URL": "postgresql://localhost/todo"}, FLY["env"]],
    ids=["service", "fly"],
)
def test_settings_are_accepted(names: dict[str, str]) -> None:
    values: dict[str, Any] = {name.lower(): value for name, value in names.items()}

    assert Settings(_env_file=None, **values).jwks_url == "https://app.example.com/api/auth/jwks"


def test_grace_period_of_the_pod_is_longer_than_what_stopping_takes() -> None:
    delay = int(container(PODS["service"])["lifecycle"]["preStop"]["exec"]["command"][1])
    grace = int(given(PODS["service"])["SHUTDOWN_GRACE_SECONDS"])

    assert delay + grace + LAST_EXPORT_SECONDS < PODS["service"]["terminationGracePeriodSeconds"]


def test_fly_waits_longer_than_stopping_takes() -> None:
    assert int(FLY["env"]["SHUTDOWN_GRACE_SECONDS"]) + LAST_EXPORT_SECONDS < FLY["kill_timeout"]


def test_probes_that_repeat_do_not_reach_the_database() -> None:
    probes = container(PODS["service"])

    assert probes["startupProbe"]["httpGet"]["path"] == "/ready"
    assert probes["readinessProbe"]["httpGet"]["path"] == probes["livenessProbe"]["httpGet"]["path"] == "/health"
    assert [check["path"] for check in FLY["http_service"]["checks"]] == ["/health"]


def test_ports_are_the_images() -> None:
    ports = {port["name"]: port["containerPort"] for port in container(PODS["service"])["ports"]}
    exposed = int(parse(PROJECT / "Dockerfile")[-1].last("EXPOSE").rest)

    assert ports["http"] == FLY["http_service"]["internal_port"] == exposed


def test_metrics_have_a_port_of_their_own_which_is_not_published() -> None:
    ports = {port["name"]: port["containerPort"] for port in container(PODS["service"])["ports"]}
    annotations = SERVICE["spec"]["template"]["metadata"]["annotations"]
    (service,) = [part for part in MANIFESTS if part["kind"] == "Service"]

    assert str(ports["metrics"]) == given(PODS["service"])["METRICS_PORT"] == annotations["prometheus.io/port"]
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    assert str(FLY["metrics"]["port"]) == FLY["env"]["METRICS_PORT"] != str(FLY["http_service"]["internal_port"])


def test_release_step_migrates() -> None:
    assert (
        container(PODS["migration"])["command"] == ["todo-api", "migrate"] == FLY["deploy"]["release_command"].split()
    )


def test_service_and_disruption_budget_select_the_pods() -> None:
    labels = SERVICE["spec"]["template"]["metadata"]["labels"]
    selectors = [part["spec"]["selector"] for part in MANIFESTS if part["kind"] in {"Service", "PodDisruptionBudget"}]

    assert [selector.get("matchLabels", selector) for selector in selectors] == [labels, labels]
