"""What the benchmarks work on: where each piece lies. ``make_material`` makes them; nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PIECES = ("models", "photos", "dataset", "benchmark", "exports")
"""``models``: paper and small with random weights; ``photos``; ``dataset``: a small prepared one over the photos;
``benchmark``: annotations of the size of UNC; ``exports``: paper for the other engines."""

EXPRESSIONS_PER_IMAGE = 7
"""In the small dataset; UNC has 7.1."""

EXPRESSION = "the woman in the red shirt left of the dog"
"""Nine words; those of UNC have 3.5 on average, those of Gref 8.4."""


@dataclass(frozen=True)
class Material:
    """The pieces in one folder."""

    folder: Path
    """Where they lie."""
    benchmark_images: int = 17_000
    """Photos that the annotations of UNC's size refer to."""
    benchmark_expressions: int = 120_000
    """Expressions about them."""

    @property
    def models(self) -> Path:
        """Holds a model folder for each preset."""
        return self.folder / "models"

    def model(self, preset: str) -> Path:
        """The model folder of ``paper`` or ``small``."""
        return self.models / preset

    @property
    def photos(self) -> Path:
        """JPEGs of 640 x 480 pixels."""
        return self.folder / "photos"

    def photo_files(self) -> list[Path]:
        """The photos in order."""
        return sorted(self.photos.glob("*.jpg"))

    @property
    def dataset(self) -> Path:
        """A prepared dataset over the photos with the splits ``val`` and ``few``."""
        return self.folder / "dataset"

    @property
    def benchmark(self) -> Path:
        """``refcoco/`` with the annotations, ``train2014/`` with the photos."""
        return self.folder / f"benchmark-{self.benchmark_images}"

    @property
    def exports(self) -> Path:
        """Holds a folder for each engine and precision, or a text that says why there is none."""
        return self.folder / "exports"

    def export(self, engine: str, precision: str) -> Path:
        """``paper``, exported for ``onnx`` or ``openvino`` in ``fp32`` or ``int8``."""
        return self.exports / f"{engine}-{precision}"

    def export_problem(self, engine: str, precision: str) -> Path:
        """Why that export could not be made."""
        return self.exports / f"{engine}-{precision}.problem"
