"""Material for the benchmarks that is made and measured in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import make_material
from benchmarks.material import PIECES, Material
from cmpc.models.config import ModelConfig, preset
from networks import tiny_config


def tiny_paper(vocabulary_size: int) -> ModelConfig:
    """``paper`` with few channels and blocks; its peepholes are made for another grid than that of 64 x 64 pixels."""
    tiny = tiny_config(vocabulary_size)
    sizes = ("word_type_channels", "multimodal_channels", "fusion_channels")
    return preset(
        "paper",
        image={"size": 64},
        backbone={"channels": (16, 16, 24, 32), "blocks": (1, 2, 2, 1)},
        text=vars(tiny.text),
        network={size: getattr(tiny.network, size) for size in sizes},
    )


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Every piece but the exports, with tiny networks, eight photos and a benchmark of 20 images."""
    patch = pytest.MonkeyPatch()
    patch.setattr(make_material, "PHOTOS", 8)
    small = Material(tmp_path_factory.mktemp("material"), benchmark_images=20, benchmark_expressions=140)
    pieces = [piece for piece in PIECES if piece != "exports"]
    make_material.make_material(small, pieces, configs={"paper": tiny_paper(60), "small": tiny_config(60)})
    patch.undo()
    return small


@pytest.fixture(params=["paper", "small", "both directions"])
def config(request: pytest.FixtureRequest) -> ModelConfig:
    """A tiny network of each kind."""
    if request.param == "paper":
        return tiny_paper(30)
    return tiny_config(30).changed(text={"both_directions": request.param == "both directions"})


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page with prose around two places."""
    path = tmp_path / "page.md"
    places = (
        "<!-- begin first -->\nold\n<!-- end first -->\nprose stays\n\n<!-- begin other -->\nkept\n<!-- end other -->"
    )
    path.write_text(f"# Title\n\n{places}\n")
    return path
