"""The ``cmpc`` command. Each command is a file of this folder with an ``Options`` dataclass and ``run(options)``.

Where some of the arguments decide the defaults of others, it has ``defaults(arguments)`` too.

Only the file of the command that was asked for is imported, so that ``cmpc --help`` answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

COMMANDS: dict[str, str] = {
    "segment": "masks of expressions in photos",
    "web": "a page to try a model in the browser",
    "serve": "a model behind HTTP, for programs and for Label Studio",
    "mcp": "a model as tools for agents",
    "explain": "how a model came to its answer, as a picture or as numbers",
    "new": "begin with your own data: a table, photos and the commands that follow",
    "prepare": "turn a benchmark or your own data into tables",
    "compose": "make more annotated photos by pasting things into others",
    "check": "look at prepared data as a colleague would, and say what to mend",
    "phrase": "make referring expressions for instances that have none",
    "vocabulary": "make a vocabulary, and word embeddings for it",
    "pretrain": "teach a model to see, before it learns words",
    "train": "train a model",
    "evaluate": "test a model on a split",
    "ablate": "compare networks that differ in one part, trained and tested alike",
    "export": "turn a model into graphs for ONNX Runtime or OpenVINO",
    "blocks": "make Blocks, the built-in benchmark",
    "import-tf": "turn the authors' TensorFlow checkpoint into a model folder",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 for failed work, 2 for wrong use, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"cmpc {version('cmpc')}")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        print(f"cmpc: there is no command {name!r}; the commands are {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    return _run(name, arguments[1:], debug=debug)


def parse(name: str, arguments: Sequence[str]) -> Any:
    """The ``Options`` of a command, from its arguments.

    Raises:
        SystemExit: the arguments are wrong, or help was asked for.
        UsageError: the parts of a network that they ask for do not go together.
    """
    import tyro

    from cmpc.errors import UsageError

    module = _module(name)
    # What may be None is so by default: nobody need type the word, and an optional bool becomes a pair of flags.
    config = (tyro.conf.DisallowNone,)
    options: dict[str, Any] = {"args": arguments, "prog": f"cmpc {name}", "config": config}
    if hasattr(module, "defaults"):  # which some of the arguments decide
        options["default"] = module.defaults(arguments)
    try:
        return tyro.cli(module.Options, description=module.__doc__, **options)
    except ValueError as error:  # a rule between the parts of a configuration
        raise UsageError(f"these options do not go together: {error}.") from None


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"cmpc.cli.{name.replace('-', '_')}")


def _run(name: str, arguments: list[str], *, debug: bool) -> int:
    from cmpc.errors import UsageError, UserError

    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # what it says of a broken image, the error says better
    try:
        options = parse(name, arguments)
        _module(name).run(options)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except UserError as error:
        if debug:
            raise
        print(f"cmpc {name}: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        if debug:
            raise
        print(f"cmpc {name}: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a folder that nothing may be written to
        if debug:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"cmpc {name}: {where}{error.strerror or error}.", file=sys.stderr)
        return 1
    return 0


def _help() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items())
    return (
        "usage: cmpc COMMAND ...\n\n"
        "Referring image segmentation: an image and an expression in, the mask of what it refers to out.\n\n"
        f"commands:\n{commands}\n\n"
        "options:\n"
        "  --debug    show the traceback of an error (any command)\n"
        "  --version  print the version\n\n"
        "'cmpc COMMAND --help' explains a command."
    )
