"""Lines of text in pictures."""

from __future__ import annotations

import pytest

from cmpc.answers import lettering
from cmpc.answers.lettering import shorten, text_width


@pytest.mark.parametrize("text", ["the left man", "W" * 90, "i" * 300, "the man in a red shirt on the left " * 9])
@pytest.mark.parametrize("width", [5.0, 60.0, 300.0, 1500.0])
def test_as_much_of_a_text_is_kept_as_fits(text: str, width: float) -> None:
    short = shorten(text, 14, width)
    if text_width(" ".join(text.split()), 14) <= width:
        assert short == " ".join(text.split())
        return
    kept = short.removesuffix("...")
    assert short.endswith("...")
    assert text.startswith(kept)
    assert not kept or text_width(short, 14) <= width
    one_more = text[: len(kept) + 2].rstrip() if text[len(kept)] == " " else text[: len(kept) + 1]
    assert text_width(f"{one_more}...", 14) > width


def test_long_texts_are_cut_in_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def measure(text: str, size: float) -> float:
        measured.append(text)
        return text_width(text, size)

    monkeypatch.setattr(lettering, "text_width", measure)
    assert shorten("n" * 100_000, 14, 200).endswith("n...")
    assert len(measured) < 15
    assert max(map(len, measured)) < 600
