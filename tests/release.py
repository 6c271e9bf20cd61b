"""Looks at the wheel and the source archive of a release as who installs them: ``python tests/release.py dist``.

With ``--install`` the wheel is installed into an empty environment, without extras, and has to find an elephant there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LARGEST_WHEEL = 45_000_000
"""Bytes; the models that ship are most of them."""
LEAST_IOU = 0.5
"""Of the elephant, whose mask by hand ``cmpc new`` writes."""


class Fault(Exception):
    """What keeps the release back."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds one wheel and one source archive")
    parser.add_argument("--install", action="store_true", help="also try the wheel in an empty environment")
    arguments = parser.parse_args()
    try:
        wheel, archive = only(arguments.folder, "*.whl"), only(arguments.folder, "*.tar.gz")
        check_wheel(wheel)
        check_archive(archive)
        print("; ".join(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB" for file in (wheel, archive)))
        if arguments.install:
            check_installed(wheel.resolve())
    except Fault as fault:
        print(f"release: {fault}", file=sys.stderr)
        return 1
    return 0


def only(folder: Path, pattern: str) -> Path:
    """The one file of that name.

    Raises:
        Fault: there is none, or several.
    """
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise Fault(f"{folder} holds {len(found)} files {pattern} in the place of one.")
    return found[0]


def packaged_files() -> set[str]:
    """The files of the package, as the wheel has to hold them."""
    listed = subprocess.run(["git", "ls-files", "src/cmpc"], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.removeprefix("src/") for name in listed.stdout.splitlines()}


def check_wheel(wheel: Path) -> None:
    """Its size, and that it holds the package with models and pictures, and nothing else."""
    if wheel.stat().st_size > LARGEST_WHEEL:
        raise Fault(f"{wheel.name} has {wheel.stat().st_size:,} bytes, more than {LARGEST_WHEEL:,}.")
    with zipfile.ZipFile(wheel) as content:
        names = {name for name in content.namelist() if ".dist-info/" not in name}
    for what, some in [("lacks", packaged_files() - names), ("holds what is no part of it,", names - packaged_files())]:
        if some:
            raise Fault(f"{wheel.name} {what} {', '.join(sorted(some)[:5])} ({len(some)} files).")


def check_archive(archive: Path) -> None:
    """That the wheel can be built from it, and that nothing of this machine is in it."""
    with tarfile.open(archive) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    wanted = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", *(f"src/{name}" for name in packaged_files())}
    if missing := wanted - names:
        raise Fault(f"{archive.name} lacks {', '.join(sorted(missing)[:5])} ({len(missing)} files).")
    if stray := {name for name in names if name.startswith((".venv", "build/", "runs/", "dist/"))}:
        raise Fault(f"{archive.name} holds what is no part of it, {', '.join(sorted(stray)[:5])} ({len(stray)} files).")


def check_installed(wheel: Path) -> None:
    """The README's first minute, in an environment that has nothing but the wheel and what it asks for."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory(prefix="cmpc-release-") as folder:
        work, programs = Path(folder) / "work", Path(folder) / "environment" / "bin"
        work.mkdir()

        def run(*command: str | Path) -> None:
            done = subprocess.run(list(map(str, command)), cwd=work, env=environment, check=False)
            if done.returncode:
                raise Fault(f"{Path(command[0]).name} {' '.join(map(str, command[1:]))} failed.")

        run(sys.executable, "-m", "venv", programs.parent)
        run(programs / "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
        run(programs / "pip", "check")
        run(programs / "cmpc", "--version")
        run(programs / "cmpc", "new", "first")
        run(programs / "cmpc", "segment", "first/photos/elephant.jpg", "the elephant", "--out", "results")
        iou = overlap(work / "results" / "elephant.json", work / "first" / "table.jsonl")
        print(f"the elephant: IoU {iou:.3f}")
        if iou < LEAST_IOU:
            raise Fault(f"the wheel finds the elephant with an IoU of {iou:.3f}, less than {LEAST_IOU}.")


def overlap(results: Path, table: Path) -> float:
    """IoU of the elephant in results with that of the starter's table."""
    from pycocotools import mask as coco_mask

    rows = map(json.loads, table.read_text(encoding="utf-8").splitlines())
    truth = next(row["rle"] for row in rows if "the elephant" in row["expressions"])
    [found] = json.loads(results.read_text(encoding="utf-8"))["predictions"]
    return float(coco_mask.iou([found["rle"]], [truth], [0])[0, 0])


if __name__ == "__main__":
    sys.exit(main())
