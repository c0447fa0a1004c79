"""The Kubernetes manifests, as `kubectl kustomize` builds them: what a cluster would refuse, and what would not fit."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sca_service.kernel.keyring import write_keyring
from sca_service.settings import read_settings

ROOT = Path(__file__).parents[2]
OVERLAYS = ("local", "production")
ROLES = ("api", "worker", "log")
pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifests and policies in a place of their own, where the sandbox has a keyring."""
    folder = tmp_path_factory.mktemp("manifests")
    shutil.copytree(ROOT / "k8s", folder / "k8s", ignore=shutil.ignore_patterns("keyring.json"))
    shutil.copytree(ROOT / "policies", folder / "policies")
    write_keyring(folder / "k8s/overlays/local/keyring.json")
    return folder


@cache
def built(folder: Path, overlay: str) -> tuple[dict[str, Any], ...]:
    """What `kubectl kustomize` makes of an overlay."""
    made = subprocess.run(
        ["kubectl", "kustomize", str(folder / "k8s/overlays" / overlay)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return documents(made.stdout)


def documents(text: bytes) -> tuple[dict[str, Any], ...]:
    """The YAML documents of a text."""
    return tuple(msgspec.yaml.decode(one) for one in re.split(rb"^---$", text, flags=re.MULTILINE))


def kinds(found: tuple[dict[str, Any], ...], *wanted: str) -> list[dict[str, Any]]:
    """Those of some kinds."""
    return [one for one in found if one["kind"] in wanted]


def pods(found: tuple[dict[str, Any], ...]) -> dict[str, dict[str, Any]]:
    """Every pod that would run, by the name of what makes it."""
    return {
        one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in kinds(found, "Deployment", "Job")
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_meets_the_restricted_standard(copied: Path, overlay: str) -> None:
    """Kubernetes' pod security standard "restricted", and besides: nothing is writable, no account is mounted."""
    found = built(copied, overlay)
    (namespace,) = kinds(found, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, pod in pods(found).items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert "memory" in container["resources"]["limits"], name
            assert ":" in container["image"].rsplit("/")[-1], name
            assert not container["image"].endswith(":latest"), name
        assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod), name
        assert all("hostPath" not in volume for volume in pod["volumes"]), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_role_runs_its_command_under_its_own_account(copied: Path, overlay: str) -> None:
    """And the migration; each finds configuration and policies where its arguments say."""
    found = pods(built(copied, overlay))
    for role in (*ROLES, "migrate"):
        (pod,) = [pod for name, pod in found.items() if name.startswith(f"sca-{role}")]
        (container,) = pod["containers"]
        assert pod["serviceAccountName"] == f"sca-{role}"
        assert container["args"] == [role, "--config", "/etc/sca/sca.toml"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for place, kind in (("/etc/sca", "sca-config-"), ("/etc/sca/policies", "sca-policies-")):
            assert volumes[mounts[place]]["configMap"]["name"].startswith(kind)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_configuration_is_one_that_roles_read(
    copied: Path, overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what the secret adds; the ports are those that probes ask and the service names."""
    found = built(copied, overlay)
    (config,) = [one for one in kinds(found, "ConfigMap") if one["metadata"]["name"].startswith("sca-config")]
    text = config["data"]["sca.toml"].replace("/etc/sca/policies", str(copied / "policies"))
    (tmp_path / "sca.toml").write_text(text.replace("/var/lib/sca", str(tmp_path)), "utf-8")
    monkeypatch.setenv("SCA_REDIS_URL", "redis://valkey:6379/0")
    monkeypatch.setenv("SCA_POSTGRES_URL", "postgresql://sca@postgres:5432/sca")
    monkeypatch.setenv("SCA_KEYRING", (copied / "k8s/overlays/local/keyring.json").read_text("utf-8"))
    settings = read_settings(tmp_path / "sca.toml")
    assert (settings.sandbox_folder is not None) == (overlay == "local")
    ports = {
        name: container["ports"][0]["containerPort"]
        for name, pod in pods(found).items()
        for container in pod["containers"]
        if "ports" in container
    }
    assert ports["sca-api"] == settings.port
    assert ports["sca-worker"] == ports["sca-log"] == settings.metrics_port
    probes = next(pod for name, pod in pods(found).items() if name == "sca-api")["containers"][0]
    assert probes["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert probes["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}


def test_every_policy_file_is_in_the_config_map(copied: Path) -> None:
    """A file that was forgotten would be missed by every role, at its start."""
    (policies,) = [
        one
        for one in kinds(built(copied, "production"), "ConfigMap")
        if one["metadata"]["name"].startswith("sca-policies")
    ]
    assert policies["data"] == {
        path.name: path.read_text("utf-8") for path in (ROOT / "policies").glob("*.toml")
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_is_denied_but_what_is_named(copied: Path, overlay: str) -> None:
    """One policy denies all; the log role is let to no Redis; nobody is let to everything."""
    policies = kinds(built(copied, overlay), "NetworkPolicy")
    (denied,) = [one for one in policies if one["spec"]["podSelector"] == {}]
    assert denied["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (redis,) = [one for one in policies if one["metadata"]["name"] == "to-redis"]
    (roles,) = redis["spec"]["podSelector"]["matchExpressions"]
    assert sorted(roles["values"]) == ["sca-api", "sca-worker"]
    for policy in policies:
        for rule in policy["spec"].get("egress", []):
            assert rule.get("to"), policy["metadata"]["name"]
            assert rule.get("ports"), policy["metadata"]["name"]
        for rule in policy["spec"].get("ingress", []):
            assert rule.get("from"), policy["metadata"]["name"]
            assert rule.get("ports"), policy["metadata"]["name"]


def test_a_roll_out_leaves_somebody_to_answer(copied: Path) -> None:
    """No pod goes before its successor is ready, and an eviction takes one at a time."""
    found = built(copied, "production")
    budgets = {one["metadata"]["name"]: one["spec"] for one in kinds(found, "PodDisruptionBudget")}
    for role in ROLES:
        (deployment,) = [
            one for one in kinds(found, "Deployment") if one["metadata"]["name"] == f"sca-{role}"
        ]
        assert deployment["spec"]["replicas"] >= 2
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert budgets[f"sca-{role}"]["maxUnavailable"] == 1
        assert budgets[f"sca-{role}"]["selector"] == deployment["spec"]["selector"]


def test_alerts_name_metrics_that_exist(copied: Path) -> None:
    """A name that nobody serves would never alert."""
    telemetry = (ROOT / "sca_service/kernel/telemetry.py").read_text("utf-8")
    served = set(re.findall(r'"(sca_[a-z_]+)"', telemetry))
    (rules,) = kinds(built(copied, "production"), "PrometheusRule")
    alerts = [rule for group in rules["spec"]["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in alerts}) == len(alerts) > 0
    for rule in alerts:
        named = re.findall(r"sca_[a-z_]+", rule["expr"])
        for metric in named:
            assert re.sub(r"_(total|bucket)$", "", metric) in served, rule["alert"]
        assert named or rule["alert"] == "ScaApiDown"


def test_no_manifest_holds_a_secret() -> None:
    """Keyrings, passwords and keys come from the cluster's secrets alone."""
    for path in (ROOT / "k8s").rglob("*.yaml"):
        for one in documents(path.read_bytes()):
            assert one["kind"] != "Secret", path
