"""Expressions and thresholds, and the page's options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from robustness.case import Case


def _segment(*arguments: str, device: str = "cpu") -> Callable[[Path], list[str]]:
    """Asks the model that ships about a photo."""

    def make(folder: Path) -> list[str]:
        Image.new("RGB", (80, 60), "grey").save(folder / "photo.png")
        return ["segment", "photo.png", *arguments, "--device", device, "--out", "out"]

    return make


def _explain(*arguments: str) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        Image.new("RGB", (80, 60), "grey").save(folder / "photo.png")
        return ["explain", "photo.png", *arguments, "--device", "cpu", "--out", "out.png"]

    return make


def _web(*arguments: str) -> Callable[[Path], list[str]]:
    return lambda _: ["web", "--device", "cpu", *arguments]


def _serve(*arguments: str) -> Callable[[Path], list[str]]:
    return lambda _: ["serve", "--device", "cpu", *arguments]


TOO_LONG = "letters but at most 1,000 are read: say it shorter"
CASES: list[Case] = [
    Case("expressions", "10,000 words", _segment("block " * 10_000), 1, TOO_LONG),
    Case("expressions", "a word of 100,000 letters", _segment("b" * 100_000), 1, TOO_LONG),
    Case("expressions", "a word of 100,000 letters to explain", _explain("b" * 100_000), 1, TOO_LONG),
    Case("expressions", "60 words", _segment("red block " * 30), 0, "reads only the first 20 words"),
    Case("expressions", "a word of 900 letters", _segment("b" * 900), 0, "The model does not know"),
    Case("expressions", "no word", _segment("?!"), 1, "holds no word: say what to look for"),
    Case("thresholds", "no number", _segment("red block", "--threshold", "abc"), 2, "threshold"),
    Case("thresholds", "nan", _segment("red block", "--threshold", "nan"), 2, "must be a finite number, got nan"),
    Case("thresholds", "beyond 1", _segment("red block", "--threshold", "1.5"), 2, "must lie between 0 and 1"),
    Case(
        "thresholds", "below 0 to explain", _explain("red block", "--threshold", "-1"), 2, "between 0 and 1, got -1.0"
    ),
    Case("devices", "a name that is none", _segment("red block", device="gpu"), 1, "no device 'gpu' here: give auto"),
    Case("page", "a limit of 0", _web("--limits.expressions", "0"), 2, "the limit expressions must be at least 1"),
    Case("page", "a root path without a slash", _web("--root-path", "find"), 2, "a path that begins with a slash"),
    Case(
        "page", "an address as a name", _web("--allow-host", "https://a.b"), 2, "takes names such as page.example.org"
    ),
    Case("page", "a port beyond all ports", _web("--port", "70000"), 1, "cannot listen at 127.0.0.1, port 70000"),
    Case("page", "a port below all ports", _web("--port", "-1"), 1, "cannot listen at 127.0.0.1, port -1"),
    Case("page", "a host of another machine", _web("--host", "192.0.2.1"), 1, "cannot listen at 192.0.2.1"),
    Case("page", "examples that are not there", _web("--examples", "nowhere"), 1, "holds no example picture"),
    Case("server", "an address as a name", _serve("--allow-host", "http://x"), 2, "takes names such as page.example"),
    Case("server", "an address that is none", _serve("--label-studio-url", "x"), 2, "is one such as http://localhost"),
    Case("server", "an address of files", _serve("--label-studio-url", "file:///etc"), 2, "is one such as http://"),
    Case("server", "an open bracket", _serve("--label-studio-url", "http://["), 2, "is one such as http://localhost"),
    Case("server", "a port beyond all ports", _serve("--port", "70000"), 2, "must lie between 0 and 65535"),
    Case("server", "a limit of 0", _serve("--limits.expressions", "0"), 2, "the limit expressions must be at least 1"),
    Case("server", "batches of 0", _serve("--batch", "0"), 2, "--batch must be at least 1"),
]
