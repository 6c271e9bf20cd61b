"""The audit calls installed versions sound only where the database answered for them."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from audit import Fault, report

SOUND = {"name": "numpy", "version": "2.0.0", "vulns": []}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}
WEAK = {"name": "pillow", "version": "10.0.0", "vulns": [{"id": "PYSEC-2023-227", "fix_versions": ["10.0.1"]}]}


def answered(*packages: dict[str, Any], errors: str = "") -> subprocess.CompletedProcess[str]:
    text = json.dumps({"dependencies": packages, "fixes": []}) if packages else ""
    return subprocess.CompletedProcess([], 0, text, errors)


def test_sound_versions_are_counted_and_unknown_ones_named() -> None:
    assert report(answered(SOUND, UNKNOWN)) == "1 packages, none with a known weakness; PyPI knows nothing of torch"


def test_database_that_knows_no_package_is_no_success() -> None:
    with pytest.raises(Fault, match="nothing was audited: PyPI does not tell here what is known of torch"):
        report(answered(UNKNOWN))


def test_missing_network_is_one_line() -> None:
    with pytest.raises(Fault, match=r"nothing was audited, .* \(no route\)") as raised:
        report(answered(errors="Traceback\n  File\nno route\n"))
    assert "\n" not in str(raised.value)


def test_weakness_names_the_version_that_mends_it() -> None:
    with pytest.raises(Fault, match=r"pillow 10.0.0: PYSEC-2023-227, mended in 10.0.1"):
        report(answered(SOUND, WEAK))
