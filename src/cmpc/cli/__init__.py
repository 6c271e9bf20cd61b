"""The ``cmpc`` command. Each command is a file of this folder with an ``Options`` dataclass and ``run(options)``.

Where some of the arguments decide the defaults of others, it has ``defaults(arguments)`` too, and where it writes a
folder that no other process may write meanwhile, ``written(options)``.

Only the file of the command that was asked for is imported, so that ``cmpc --help`` answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from cmpc.bounds import OutOfBounds
from cmpc.cli.arguments import check_arguments, check_numbers, check_places
from cmpc.cli.streams import OUTPUT, complain, give_up_output, make_output_tolerant, plain_deprecations, what_failed

COMMANDS: dict[str, str] = {
    "segment": "masks of expressions in photos",
    "bulk": "masks for tables and folders of any length, on one machine or many",
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
    make_output_tolerant()
    try:
        status = _answer(arguments, debug=debug)
        if sys.stdout is not None and not sys.stdout.closed:  # the tools for agents close what they spoke over
            sys.stdout.flush()
    except OSError as error:  # nobody reads the output any more, or there is no room for it
        if debug:
            raise
        give_up_output()
        if not isinstance(error, BrokenPipeError):
            complain(f"cmpc: cannot write to {OUTPUT}: {error.strerror or error}.")
        return 1
    return status


def parse(name: str, arguments: Sequence[str]) -> Any:
    """The ``Options`` of a command, from its arguments.

    Raises:
        SystemExit: the arguments are wrong, or help was asked for.
        UsageError: an argument is empty, no text or a number beyond all bounds, or the parts of a network that they ask
            for do not go together.
    """
    import tyro

    from cmpc.errors import UsageError

    check_arguments(name, arguments)
    module = _module(name)
    # What may be None is so by default: nobody need type the word, and an optional bool becomes a pair of flags.
    config = (tyro.conf.DisallowNone,)
    options: dict[str, Any] = {"args": arguments, "prog": f"cmpc {name}", "config": config}
    if hasattr(module, "defaults"):  # which some of the arguments decide
        options["default"] = module.defaults(arguments)
    try:
        parsed = tyro.cli(module.Options, description=module.__doc__, **options)
    except OutOfBounds as error:
        raise UsageError(f"--{error}.") from None
    except ValueError as error:  # a rule between the parts of a configuration
        raise UsageError(f"these options do not go together: {error}.") from None
    check_numbers(parsed)
    check_places(parsed)
    return parsed


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"cmpc.cli.{name.replace('-', '_')}")


def _answer(arguments: list[str], *, debug: bool) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"cmpc {version('cmpc')}")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        complain(f"cmpc: there is no command {name[:40]!r}; the commands are {', '.join(COMMANDS)}.")
        return 2
    with plain_deprecations(name):
        return _run(name, arguments[1:], debug=debug)


def _run(name: str, arguments: list[str], *, debug: bool) -> int:
    import warnings

    from cmpc.errors import CutExpressionWarning, UsageError, UserError

    warnings.simplefilter("ignore", CutExpressionWarning)  # commands say it in a sentence of their own
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # what it says of a broken image, the error says better
    out = None
    try:
        options = parse(name, arguments)
        module = _module(name)
        out = module.written(options) if hasattr(module, "written") else getattr(options, "out", None)
        with _alone(out if hasattr(module, "written") else None):
            module.run(options)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except UserError as error:
        if debug:
            raise
        complain(f"cmpc {name}: {error}")
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        if debug:
            raise
        complain(f"cmpc {name}: stopped.")
        return 130
    except UnicodeEncodeError:  # what is no text was an argument, or in the name of a file
        if debug:
            raise
        complain(f"cmpc {name}: the name of a file is not UTF-8 text: rename it.")
        return 2
    except MemoryError:
        if debug:
            raise
        complain(f"cmpc {name}: there is too little memory for this: give less at once.")
        return 1
    except OSError as error:  # a full disk, a folder that nothing may be written to
        if debug or error.filename == OUTPUT:
            raise
        complain(f"cmpc {name}: {what_failed(error, out)}.")
        return 1
    return 0


@contextmanager
def _alone(folder: Path | None) -> Iterator[None]:
    """Keeps other processes from writing a folder, but not those that are parts of the same run; removes what killed
    ones left beside it and in it."""
    from cmpc.files import put_back
    from cmpc.locks import only_writer
    from cmpc.processes import is_first_of_run

    if folder is None or not is_first_of_run():
        yield
        return
    with only_writer(folder):
        for place in (folder.parent, folder):
            put_back(place)
        yield


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
