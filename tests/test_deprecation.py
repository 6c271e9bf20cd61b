"""What is deprecated works, says so once, and is listed; what was to go by now is gone."""

from __future__ import annotations

import ast
import json
import re
import shutil
import tomllib
import warnings
from pathlib import Path

import pytest

import cmpc
from cmpc.cli import main
from cmpc.data.schema import PreparedDataset
from cmpc.deprecation import DeprecatedWarning, warn_deprecated
from first_format import write_first_format

ROOT = Path(__file__).parents[1]


@pytest.fixture
def old_folder(tmp_path: Path) -> Path:
    """The model of Blocks, with the configuration that its first version had."""
    folder = tmp_path / "old"
    write_first_format(folder)
    return folder


def test_a_warning_says_when_and_what_instead_and_says_it_once(recwarn: pytest.WarningsRecorder) -> None:
    for _ in range(3):
        warn_deprecated("the argument depth", removed_in="3.0", instead="give layers")
    warn_deprecated("the argument width", removed_in="3.0", instead="give channels")
    assert [str(warning.message) for warning in recwarn] == [
        "the argument depth is not taken any more from version 3.0 on: give layers.",
        "the argument width is not taken any more from version 3.0 on: give channels.",
    ]
    assert {(warning.category, warning.filename) for warning in recwarn} == {(DeprecatedWarning, __file__)}


def test_warning_may_name_the_place_of_a_caller() -> None:
    def old_function() -> None:
        warn_deprecated("old_function", removed_in="3.0", instead="call new_function", stacklevel=2)

    with pytest.warns(DeprecatedWarning) as told:
        old_function()
    line = Path(__file__).read_text(encoding="utf-8").splitlines()[told[0].lineno - 1]
    assert line.strip() == "old_function()"


def test_model_folder_of_format_1_works_with_a_warning_and_is_renewed_as_it_says(
    old_folder: Path, tmp_path: Path
) -> None:
    with pytest.warns(DeprecatedWarning, match=re.escape(f"the folder {old_folder} of format 1")):
        segmenter = cmpc.load(old_folder)
    segmenter.save_pretrained(tmp_path / "new")
    assert json.loads((tmp_path / "new" / "config.json").read_text())["format_version"] > 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cmpc.load(tmp_path / "new")


def test_dataset_of_schema_1_works_with_a_warning(tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "tests" / "data" / "prepared_v1", tmp_path / "old")
    with pytest.warns(DeprecatedWarning, match="of schema 1 is not taken any more from version"):
        assert PreparedDataset.open(folder).read("train")


def test_commands_say_it_as_a_sentence(old_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photo = ROOT / "src" / "cmpc" / "weights" / "examples" / "blocks" / "scene-1.jpg"
    arguments = ("segment", photo, "the red box", "--model", old_folder, "--out", tmp_path / "out")
    assert main([*map(str, arguments)]) == 0
    lines = [line for line in capfd.readouterr().err.splitlines() if "any more" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"cmpc segment: the folder {old_folder} of format 1 is not taken any more from version")


def test_nothing_is_overdue_and_the_page_lists_as_much_as_the_program_says() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("warn_deprecated"):
                found += [ast.literal_eval(word.value) for word in node.keywords if word.arg == "removed_in"]
    assert found
    assert all(numbers(version) < numbers(removed_in) for removed_in in found), "remove what is due"
    table = re.findall(r"^\| .* \| [\d.]+ \| ([\d.]+) \|", (ROOT / "docs/deprecations.md").read_text(), re.MULTILINE)
    assert sorted(table) == sorted(found)


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))
