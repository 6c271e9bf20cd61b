"""Every command in the README and in docs/ is one that the program understands; those of the README do what it says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from documented_pages import PAGES, ROOT, commands, shell_lines

from cmpc.cli import COMMANDS, main, parse
from cmpc.models.config import PRESETS
from networks import tiny_config

REFER = ROOT / "tests" / "data" / "refer"

ALL = [
    pytest.param(command, id=f"{page.stem}-{number}") for page in PAGES for number, command in enumerate(commands(page))
]


@pytest.mark.parametrize("command", ALL)
def test_documented_command_is_understood(command: str) -> None:
    _, name, *arguments = shlex.split(command, comments=True)
    parse(name, arguments)


def test_every_command_is_documented() -> None:
    shown = {shlex.split(parameter.values[0], comments=True)[1] for parameter in ALL}
    assert shown == set(COMMANDS)


def test_slurm_job_begins_a_run_and_goes_on_with_it(tmp_path: Path) -> None:
    """With programs in place of Slurm's: what they are asked for is a command that torchrun and cmpc understand."""
    from torch.distributed.run import get_args_parser

    for name, line in (("scontrol", "printf 'node1\\nnode2\\n'"), ("srun", """printf '%s\\n' "$@" > asked""")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
    variables = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_ID": "7", "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "4"}
    variables |= {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for resume in (False, True):
        subprocess.run(["bash", ROOT / "examples/train.slurm"], cwd=tmp_path, env=variables, check=True)
        program, *arguments = (tmp_path / "asked").read_text().splitlines()
        started = get_args_parser().parse_args(arguments)
        assert (program, started.nnodes, started.nproc_per_node) == ("torchrun", "2", "4")
        assert (started.rdzv_endpoint, started.training_script) == ("node1:29500", "cmpc")
        options = parse(started.training_script_args[0], started.training_script_args[1:])
        assert options.resume is resume
        (tmp_path / options.out).mkdir(parents=True, exist_ok=True)
        (tmp_path / options.out / "run.json").touch()


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_documented_programs_exist(page: Path) -> None:
    """Targets of make, and scripts and modules that Python runs, here or in the text."""
    text = page.read_text(encoding="utf-8")
    inline = [re.sub(r"\s+", " ", code) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
    lines = [*shell_lines(page), *inline]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {line.split()[1] for line in lines if re.match(r"make [a-z-]+( [A-Z]+=\S+)?( +#|$)", line)} <= targets
    for line in lines:
        if module := re.search(r"(?<!\S)python -m ((?:benchmarks|tests)[\w.]*)", line):
            assert find_spec(module[1]), line
        if script := re.search(r"(?<!\S)python (\S+\.py)", line):
            assert script[1] == "trainval_model.py" or (ROOT / script[1]).is_file(), line


def test_the_page_on_the_original_names_every_flag() -> None:
    page = ROOT / "docs" / "from-the-original.md"
    rows = [line.split("|")[1] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    named = {word for row in rows for code in re.findall(r"`([^`]*)`", row) for word in code.split()}
    assert named >= {"-m", "-d", "-t", "-n", "-i", "-s", "-st", "-f", "-lr", "-bs", "-v", "-c", "-emb", "-conv5", "-g"}


@pytest.mark.slow
def test_readme_works_from_a_benchmark_to_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the README's commands, those for training on a small part of UNC with a tiny network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(PRESETS, "small", tiny_config(100))
    shutil.copytree(REFER, tmp_path / "refer" / "data")
    (tmp_path / "coco").mkdir()
    shutil.move(tmp_path / "refer" / "data" / "train2014", tmp_path / "coco")
    photo = next((tmp_path / "coco" / "train2014").iterdir())
    shutil.copy(photo, tmp_path / "photo.jpg")
    quick = ["--steps", "2", "--workers", "0", "--image.size", "64"]
    shown = [shlex.split(command, comments=True)[1:] for command in commands(ROOT / "README.md")]

    def run(name: str, about: str, *extra: str) -> None:
        arguments = next(arguments for arguments in shown if arguments[0] == name and about in arguments)
        assert main([argument.replace("models/unc", "runs/unc/best") for argument in arguments] + [*extra]) == 0

    run("new", "first")
    run("segment", "first/photos/elephant.jpg")  # with the model that ships
    run("explain", "first/photos/elephant.jpg")
    run("prepare", "unc")
    run("train", "data/unc", *quick)
    run("evaluate", "data/unc")
    run("segment", "photo.jpg")
    assert (tmp_path / "results" / "elephant.overlay.png").exists()
    assert (tmp_path / "results" / "photo.overlay.png").exists()
    assert (tmp_path / "picture.png").exists()
