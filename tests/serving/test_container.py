"""The files for containers. Nothing here builds them: their text is linted, and held against what it speaks of."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

from cmpc.cli import parse

ROOT = Path(__file__).parents[2]


def test_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def instructions() -> list[tuple[str, str]]:
    """Name and arguments of each instruction of the Dockerfile, lines that go on joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, re.sub(r"\s+", " ", arguments)) for name, arguments in lines]


def test_image_is_pinned_small_and_not_run_as_root() -> None:
    found = instructions()
    bases = [arguments.split()[0] for name, arguments in found if name == "FROM"]
    assert all(re.fullmatch(r"python:3\.1[123]-slim", base) for base in bases)
    last = max(number for number, (name, _) in enumerate(found) if name == "FROM")
    users = [arguments for name, arguments in found[last:] if name == "USER"]
    assert users
    assert users[-1] not in ("root", "0")
    names = [name for name, _ in found[last:]]
    assert names.index("USER") > names.index("COPY")  # what runs cannot change the program
    assert "HEALTHCHECK" in names
    pips = [arguments for _, arguments in found if "pip install" in arguments]
    assert all("--no-cache-dir" in arguments and "--constraint" in arguments for arguments in pips)
    assert not any(name == "ADD" or "sudo" in arguments for name, arguments in found)


def test_image_copies_what_is_sent_and_installs_extras_that_exist() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name, arguments in instructions():
        if name == "COPY" and "--from" not in arguments:
            *sources, _ = arguments.split()
            for source in sources:
                source = source.removeprefix("./")
                assert (ROOT / source).exists()
                assert source in sent
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {project["readme"], *project["license-files"]} <= sent  # which the build of the package reads
    [extras] = re.findall(r'"\.\[(.*?)\]"', (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_container_starts_a_command_that_is_understood() -> None:
    entry = json.loads(next(arguments for name, arguments in instructions() if name == "ENTRYPOINT"))
    services: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    options = parse(entry[1], [*entry[2:], *services["cmpc"]["command"]])
    assert options.host == "0.0.0.0"
    assert options.label_studio_url == "http://label-studio:8080"
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])  # nobody else is let in unasked
    assert all(":" in service["image"] for service in services.values() if "image" in service)
