"""The server under requests that schemathesis makes from its own description."""

from __future__ import annotations

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = [
    ("/segment", "POST"),
    ("/explain", "POST"),
    ("/health", "GET"),
    ("/metrics", "GET"),
    ("/setup", "POST"),
    ("/predict", "POST"),
    ("/versions", "GET"),
    ("/webhook", "POST"),
]
POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
CASES = [(*operation, POSITIVE) for operation in OPERATIONS]
CASES += [(path, method, NEGATIVE) for path, method in OPERATIONS if method == "POST"]  # the others ask nothing


@pytest.mark.parametrize(("path", "method", "mode"), CASES, ids=[f"{path}-{mode.value}" for path, _, mode in CASES])
def test_every_request_gets_an_answer_of_the_description(
    path: str, method: str, mode: schemathesis.GenerationMode, app: FastAPI
) -> None:
    described = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"host": "localhost"})
    assert {(one.ok().path, one.ok().method.upper()) for one in described.get_all_operations()} == set(OPERATIONS)

    @given(case=described[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def check(case: schemathesis.Case) -> None:
        case.validate_response(case.call(headers={"host": "localhost"}), checks=CHECKS)

    check()
