"""Known weaknesses of installed packages, from the advisory database of PyPI: ``python tests/audit.py``.

The exit code is 1 where there is one, and where the database does not answer: that nothing was found says nothing then.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence


class Fault(Exception):
    """What keeps the installed versions from being called sound."""


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "--skip-editable", "--format", "json", "--progress-spinner", "off"]
    try:
        print(report(subprocess.run([*command, *sys.argv[1:]], capture_output=True, text=True, check=False)))
    except Fault as fault:
        print(f"audit: {fault}", file=sys.stderr)
        return 1
    return 0


def report(audit: subprocess.CompletedProcess[str]) -> str:
    """One sentence about what ``pip-audit --format json`` answered.

    Raises:
        Fault: it did not answer, for no package at all, or knows a weakness.
    """
    try:
        packages = json.loads(audit.stdout)["dependencies"]
    except ValueError:
        words = audit.stderr.strip().splitlines() or ["pip-audit says nothing"]
        raise Fault(f"nothing was audited, for the database cannot be asked from here ({words[-1]:.200}).") from None
    asked = [package for package in packages if "vulns" in package]
    skipped = [package["name"] for package in packages if "vulns" not in package]
    if not asked:
        raise Fault(f"nothing was audited: PyPI does not tell here what is known of {_listed(skipped)}.")
    if found := [line for package in asked for line in _weaknesses(package)]:
        raise Fault("\n".join((f"{len(found)} known weaknesses in {len(asked)} packages:", *found)))
    without = f"; PyPI knows nothing of {_listed(skipped)}" if skipped else ""
    return f"{len(asked)} packages, none with a known weakness{without}"


def _weaknesses(package: dict[str, object]) -> list[str]:
    weaknesses = package["vulns"]
    assert isinstance(weaknesses, list)
    return [
        f"{package['name']} {package['version']}: {known['id']}, mended in {', '.join(known['fix_versions']) or 'none'}"
        for known in weaknesses
    ]


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


if __name__ == "__main__":
    sys.exit(main())
