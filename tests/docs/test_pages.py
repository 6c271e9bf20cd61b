"""What the pages of the documentation refer to exists: pages, headings, pictures, modules, classes."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from documented_pages import PAGES, ROOT

IDS = [page.stem for page in PAGES]


def anchors(page: Path) -> set[str]:
    """The fragments that lead to a page's headings."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        name, _, fragment = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        assert not fragment or fragment in anchors(file), target


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[2]
    named = re.findall(r": (\S+\.md)$", navigation, re.MULTILINE)
    assert sorted(named) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


def resolve(name: str) -> object:
    """The object of a dotted name."""
    *path, last = name.split(".")
    try:
        return import_module(name)
    except ModuleNotFoundError:
        return getattr(import_module(".".join(path)), last)


def test_documented_names_of_the_api_exist() -> None:
    entries = re.findall(
        r"^::: (\S+)(?:\n +options:\n +members: \[(.*)\])?", (ROOT / "docs/api.md").read_text(), re.MULTILINE
    )
    assert entries
    for name, members in entries:
        documented = resolve(name)
        for member in filter(None, members.split(", ")):
            assert hasattr(documented, member), f"{name}.{member}"


def test_files_and_classes_of_the_network_exist() -> None:
    rows = re.findall(r"^\| [^|]* \| `(\S+\.py)` \| `(\w+)` \|", (ROOT / "docs/network.md").read_text(), re.MULTILINE)
    assert len(rows) >= 10
    for file, name in rows:
        module = import_module("cmpc.models." + file.removesuffix(".py").replace("/", "."))
        assert hasattr(module, name), f"{file}: {name}"


def test_every_folder_of_the_package_is_described() -> None:
    described = set(re.findall(r"^\| `([\w/]+)/` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE))
    package = ROOT / "src" / "cmpc"
    folders = {folder.parent.relative_to(package).as_posix() for folder in package.rglob("__init__.py")} - {"."}
    deep = {"models/backbones", "models/text", "models/paper", "models/grounded"}
    assert {folder for folder in folders if "/" not in folder} | deep <= described
    assert described - {"benchmarks", "examples", "tests"} <= folders
