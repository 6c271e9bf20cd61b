"""The files for Kubernetes are what KubeRay and the command understand."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import yaml
from documented_pages import ROOT
from jsonschema import Draft202012Validator

from cmpc.cli import parse

QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|Ki|Mi|Gi|Ti)?$"}
NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}


def of(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """The schema of an object that has no other fields."""
    properties = {**required, **optional}
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


def many(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema, "minItems": 1}


TEXT, COUNT, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
RESOURCES = {"type": "object", "additionalProperties": QUANTITY}
CONTAINER = of(
    {"name": NAME, "image": TEXT},
    env=many(of({"name": TEXT}, value=TEXT, valueFrom={"type": "object"})),
    envFrom=many(of({}, secretRef=of({"name": NAME}), configMapRef=of({"name": NAME}))),
    resources=of({}, requests=RESOURCES, limits=RESOURCES),
    volumeMounts=many(of({"name": NAME, "mountPath": TEXT}, readOnly=FLAG)),
)
TOLERATION = of(
    {},
    key=TEXT,
    value=TEXT,
    operator={"enum": ["Exists", "Equal"]},
    effect={"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
)
POD = of({"containers": many(CONTAINER)}, tolerations=many(TOLERATION), nodeSelector=TEXTS, volumes=many(TEXTS))
GROUP = {"rayStartParams": TEXTS, "template": of({"spec": POD}, metadata={"type": "object"})}
RAY_JOB = of(
    {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayJob"},
        "metadata": of({"name": NAME}, namespace=NAME, labels=TEXTS),
        "spec": of(
            {
                "entrypoint": TEXT,
                "rayClusterSpec": of(
                    {
                        "headGroupSpec": of(GROUP),
                        "workerGroupSpecs": many(
                            of({"groupName": NAME, **GROUP}, replicas=COUNT, minReplicas=COUNT, maxReplicas=COUNT)
                        ),
                    },
                    rayVersion=TEXT,
                    enableInTreeAutoscaling=FLAG,
                ),
            },
            backoffLimit=COUNT,
            shutdownAfterJobFinishes=FLAG,
            ttlSecondsAfterFinished=COUNT,
            activeDeadlineSeconds=COUNT,
            runtimeEnvYAML=TEXT,
            submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        ),
    }
)
"""The fields of KubeRay's RayJob and of Kubernetes' pods that the file may use."""


@pytest.fixture
def job() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "examples/kubernetes/bulk.yaml").read_text(encoding="utf-8"))


def test_the_job_is_one_of_kuberay(job: dict[str, Any]) -> None:
    assert [error.message for error in Draft202012Validator(RAY_JOB).iter_errors(job)] == []


def test_the_schema_finds_misspelt_fields(job: dict[str, Any]) -> None:
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["enviroment"] = []
    assert list(Draft202012Validator(RAY_JOB).iter_errors(job))


def test_the_command_is_understood_and_fits_the_cluster(job: dict[str, Any]) -> None:
    _, name, *arguments = shlex.split(job["spec"]["entrypoint"])
    options = parse(name, arguments)
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert options.workers == group["replicas"]
    assert options.engine == "ray"
    assert options.resume
