"""Nothing in the package executes what stands in a file, and nothing imports what newer versions of Python lack."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "cmpc"
FILES = sorted(PACKAGE.rglob("*.py"))
EXECUTING = ("pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "code", "runpy")
MAY_KNOW_PICKLES = {"data/sources/restricted_pickle.py"}
"""Takes the names of the instructions from there, to allow a few of them."""
GONE = (
    *(
        "aifc",
        "asynchat",
        "asyncore",
        "audioop",
        "cgi",
        "cgitb",
        "chunk",
        "crypt",
        "distutils",
        "imghdr",
        "imp",
        "lib2to3",
    ),
    *("mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "smtpd", "sndhdr", "spwd", "sunau", "telnetlib"),
    *("uu", "xdrlib", "pkg_resources"),
)
"""Modules that Python 3.12 or 3.13 has no more."""


def modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def faults(tree: ast.AST) -> Iterator[str]:
    """Calls that execute what they are given."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        named = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if name in ("eval", "exec", "compile", "__import__", "os.system", "os.popen", "builtins.eval", "builtins.exec"):
            yield name
        if name == "torch.load" and named.get("weights_only") != "True":
            yield "torch.load without weights_only=True"
        if name.endswith("np.load") and named.get("allow_pickle", "False") != "False":
            yield "np.load with allow_pickle"
        if named.get("shell", "False") != "False":
            yield f"{name} with a shell"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_file_executes_nothing_that_it_reads_and_runs_on_newer_pythons(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = set(modules(tree))
    if str(path.relative_to(PACKAGE)) not in MAY_KNOW_PICKLES:
        assert not imported & set(EXECUTING)
    assert not imported & set(GONE)
    assert list(faults(tree)) == []


@pytest.mark.parametrize(
    "program",
    [
        "eval(text)",
        "exec(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(line, shell=True)",
        "os.system(line)",
    ],
)
def test_what_executes_a_file_is_found(program: str) -> None:
    assert list(faults(ast.parse(program)))
