"""Blocks, the generated benchmark, as a prepared dataset.

The folder holds ``images/<split>/<index>.jpg``, the tables of ``cmpc.data.schema``, ``blocks.json`` (the settings) and
``scenes/<split>.jsonl.gz``: for every image the scene, the mask of every block and the meaning of every expression.
"""

from __future__ import annotations

import gzip
import json
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cmpc.blocks.generate import SPLITS, VERSION, SceneSample, make_sample
from cmpc.blocks.grounding import ground_words
from cmpc.blocks.meaning import Expression, Meaning
from cmpc.blocks.scene import Scene
from cmpc.blocks.solver import Solver
from cmpc.data.masks import decode_mask, encode_mask
from cmpc.data.schema import DatasetInfo, GroundedWords, PreparedDataset, ReferredObject, write_dataset
from cmpc.data.sources.targets import target_of
from cmpc.errors import UsageError, UserError
from cmpc.files import atomic_file, naming, put_back
from cmpc.processes import environment, prepare_process
from cmpc.reading import read_text

CHUNK = 50
"""Images that are made and recorded together; an interrupted run loses no more than the chunks at work."""
JPEG_QUALITY = 92
SMALLEST, LARGEST = 64, 1024
"""Sides of the images that can be made, in pixels."""
_SETTINGS = "blocks.json"
_DAMAGE = (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
"""What reading a damaged file of scenes can raise."""
_ONE_THREAD_EACH = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # a process a core


@dataclass(frozen=True)
class Settings:
    """What decides the content of a Blocks dataset."""

    seed: int
    """Any number from 0; another seed gives other scenes."""
    size: int
    """Side of the images in pixels."""
    splits: dict[str, int]
    """Images of each split that is made."""
    version: int = VERSION
    """Version of the generator."""

    def __post_init__(self) -> None:
        if unknown := [split for split in self.splits if split not in SPLITS]:
            raise UsageError(f"Blocks has no split {unknown[0]!r}; it has {', '.join(SPLITS)}.")
        if not self.splits or min(self.splits.values()) < 1:
            raise UsageError("every split of Blocks needs at least one image.")
        if not SMALLEST <= self.size <= LARGEST:
            raise UsageError(f"images of Blocks are {SMALLEST} to {LARGEST} pixels wide, not {self.size}.")
        if self.seed < 0:
            raise UsageError(f"the seed of Blocks is a number from 0, not {self.seed}.")

    @property
    def name(self) -> str:
        """Name of the dataset: version, seed and size are part of it."""
        return f"blocks-v{self.version}-seed{self.seed}-{self.size}"


@dataclass(frozen=True, slots=True)
class SceneRecord:
    """All that is known about one image."""

    image: str
    """File of the image, relative to the image folder."""
    size: int
    """Side of the image in pixels."""
    scene: Scene
    rles: tuple[str, ...]
    """Visible part of each block as COCO's compressed run lengths."""
    expressions: tuple[Expression, ...]

    def decode_masks(self) -> np.ndarray:
        """The masks as bool (blocks, S, S)."""
        return np.stack([decode_mask(rle, self.size, self.size) for rle in self.rles])

    @staticmethod
    def of(sample: SceneSample) -> SceneRecord:
        """The record of a sample."""
        return SceneRecord(
            image=f"{sample.split}/{sample.index:06d}.jpg",
            size=len(sample.rendering.pixels),
            scene=sample.scene,
            rles=tuple(encode_mask(sample.rendering.mask(block)) for block in range(len(sample.scene.blocks))),
            expressions=sample.expressions,
        )

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        expressions = [
            {
                "text": e.text,
                "targets": list(e.targets),
                "family": e.family,
                "word_types": list(e.word_types),
                "meaning": e.meaning.to_dict(),
            }
            for e in self.expressions
        ]
        return {
            "image": self.image,
            "size": self.size,
            "scene": self.scene.to_dict(),
            "masks": list(self.rles),
            "expressions": expressions,
        }

    @staticmethod
    def from_dict(values: dict[str, Any]) -> SceneRecord:
        """The inverse of ``to_dict``. Expressions of version 1 have one ``target``."""
        expressions = tuple(
            Expression(
                e["text"],
                tuple(e["targets"]) if "targets" in e else (e["target"],),
                e["family"],
                tuple(e["word_types"]),
                Meaning.from_dict(e["meaning"]),
            )
            for e in values["expressions"]
        )
        scene = Scene.from_dict(values["scene"])
        return SceneRecord(values["image"], values["size"], scene, tuple(values["masks"]), expressions)

    def rows(self) -> list[ReferredObject]:
        """The rows of the table: each block that expressions refer to, with all of them; each group of blocks; and what
        refers to nothing."""
        image_id = self.image.removesuffix(".jpg").replace("/", "-")
        solver, masks = Solver(self.scene), self.decode_masks()
        rows = []
        groups = {expression.targets for expression in self.expressions}
        for targets in sorted(groups, key=lambda blocks: (len(blocks) != 1, not blocks, blocks)):
            about = [expression for expression in self.expressions if expression.targets == targets]
            target = target_of([self.rles[block] for block in targets], self.size, self.size)
            shapes = {self.scene.blocks[block].shape for block in targets}
            row = ReferredObject(
                ref_id=f"{image_id}-{'+'.join(map(str, targets)) or 'none'}",
                image_id=image_id,
                image=self.image,
                height=self.size,
                width=self.size,
                rle=target.rle,
                box=target.box,
                category=shapes.pop() if len(shapes) == 1 else "",
                instances=target.instances,
                expressions=tuple(expression.text for expression in about),
                groups=tuple(expression.family for expression in about),
                word_types=tuple(expression.word_types for expression in about),
                grounding=tuple(
                    grounded_words(ground_words(e.text, e.word_types, e.meaning, solver), masks) for e in about
                ),
            )
            rows.append(row)
        return rows


def grounded_words(spoken_of: Sequence[tuple[int, ...]], masks: np.ndarray) -> tuple[GroundedWords, ...]:
    """What the words of an expression speak about, as a table holds it.

    Args:
        spoken_of: the blocks that each word speaks about.
        masks: of all blocks, bool (blocks, S, S).
    """
    together: dict[tuple[int, ...], list[int]] = {}
    for position, blocks in enumerate(spoken_of):
        if blocks:
            together.setdefault(blocks, []).append(position)
    return tuple(
        GroundedWords(encode_mask(np.any(masks[list(blocks)], axis=0)), tuple(positions))
        for blocks, positions in together.items()
    )


def make_blocks(
    out: str | Path, settings: Settings, *, workers: int = 1, advance: Callable[[int], None] = lambda images: None
) -> DatasetInfo:
    """Makes a Blocks dataset; ``out`` appears only when it is whole.

    Work in progress lies beside it, in ``.<name>.partial``. A run with the same settings continues there; one with
    other settings starts anew. A whole dataset with the same settings is left as it is.

    Args:
        out: folder of the dataset.
        settings: what to make.
        workers: processes; the result does not depend on it.
        advance: called with the number of images that were made, or found made.

    Raises:
        UserError: something else stands at ``out``.
    """
    out = Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        return _existing(out, settings)
    if out.resolve() == Path.cwd():
        raise UserError(f"{out} is the current folder, which cannot be replaced: give a new folder with --out.")
    partial = out.with_name(f".{out.name}.partial")
    if _read_settings(partial) != asdict(settings):
        if partial.exists():
            (partial / _SETTINGS).unlink(missing_ok=True)  # a kill while the rest goes leaves nothing to go on with
            shutil.rmtree(partial)
        try:
            partial.mkdir(parents=True)
        except OSError as error:
            raise UserError(f"cannot write beside {out}: {error.strerror}; give another folder with --out.") from None
        with atomic_file(partial / _SETTINGS) as file:
            file.write_text(json.dumps(asdict(settings), indent=1) + "\n", encoding="utf-8")
    if (partial / "dataset.json").exists():  # killed when only its name was missing
        advance(sum(settings.splits.values()))
        return _give_name(partial, out)
    chunks = [(split, start) for split, count in settings.splits.items() for start in range(0, count, CHUNK)]
    missing = []
    for split, start in chunks:
        if _part(partial, split, start).exists():
            advance(min(CHUNK, settings.splits[split] - start))
        else:
            missing.append((split, start))
    _make_chunks(partial, settings, missing, workers, advance)
    return _finish(partial, out, settings, chunks)


def read_scenes(folder: str | Path, split: str) -> Iterator[SceneRecord]:
    """The records of a split of a Blocks dataset, in the order of the images.

    Raises:
        UserError: the folder holds no scenes of that split, or they are damaged.
    """
    path = Path(folder) / "scenes" / f"{split}.jsonl.gz"
    if not path.is_file():
        raise UserError(f"{folder} has no scenes of split {split}: make a Blocks dataset with cmpc blocks.")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        while True:
            try:
                line = lines.readline()
                record = SceneRecord.from_dict(json.loads(line)) if line else None
            except _DAMAGE:
                raise UserError(f"{path} is damaged: make the dataset anew with cmpc blocks.") from None
            if record is None:
                return
            yield record


def _existing(out: Path, settings: Settings) -> DatasetInfo:
    found = _read_settings(out) if out.is_dir() else None
    if found is None:
        raise UserError(f"{out} exists and is no Blocks dataset: give a new folder with --out.")
    if found != asdict(settings):
        raise UserError(f"{out} holds Blocks with other settings (see its {_SETTINGS}): give a new folder with --out.")
    return PreparedDataset.open(out).info


def _read_settings(folder: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(read_text(folder / _SETTINGS))
    except (OSError, ValueError, RecursionError):
        return None
    return found


def _part(partial: Path, split: str, start: int) -> Path:
    return partial / "parts" / f"{split}-{start:06d}.jsonl.gz"


def _make_chunks(
    partial: Path,
    settings: Settings,
    missing: list[tuple[str, int]],
    workers: int,
    advance: Callable[[int], None],
) -> None:
    if workers <= 1 or len(missing) <= 1:
        for split, start in missing:
            advance(_make_chunk(partial, settings, split, start))
        return
    others = set(active_children())
    with (
        environment(**_ONE_THREAD_EACH),
        ProcessPoolExecutor(
            min(workers, len(missing)), mp_context=get_context("spawn"), initializer=prepare_process
        ) as pool,
    ):
        futures = [pool.submit(_make_chunk, partial, settings, split, start) for split, start in missing]
        try:
            for future in as_completed(futures):
                advance(future.result())
        except BrokenProcessPool:
            raise UserError(
                "a process that makes images died, perhaps for want of memory: start again with fewer --workers; "
                "what is made is kept."
            ) from None
        except BaseException:  # nobody waits for chunks that are at work
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(active_children()) - others:
                process.terminate()
            raise


def _make_chunk(partial: Path, settings: Settings, split: str, start: int) -> int:
    """Makes some images, then their record: where the record is, the images are."""
    folder = partial / "images" / split
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(start, min(start + CHUNK, settings.splits[split])):
        sample = make_sample(settings.seed, split, index, settings.size)
        _write_jpeg(folder / f"{index:06d}.jpg", sample.rendering.pixels)
        lines.append(json.dumps(SceneRecord.of(sample).to_dict(), separators=(",", ":")) + "\n")
    with atomic_file(_part(partial, split, start)) as file:
        file.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    return len(lines)


def _write_jpeg(path: Path, pixels: np.ndarray) -> None:
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    colour = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, encoded = cv2.imencode(".jpg", pixels[..., ::-1], quality + colour)
    with naming(path):
        path.write_bytes(encoded.tobytes())


def _finish(partial: Path, out: Path, settings: Settings, chunks: list[tuple[str, int]]) -> DatasetInfo:
    """Puts the parts together and gives the folder its name."""
    scenes = partial / "scenes"
    scenes.mkdir(exist_ok=True)
    rows: Mapping[str, list[ReferredObject]] = {split: [] for split in settings.splits}
    for split in settings.splits:
        with atomic_file(scenes / f"{split}.jsonl.gz") as file, file.open("wb") as stream:
            for _, start in (chunk for chunk in chunks if chunk[0] == split):
                part = _part(partial, split, start).read_bytes()
                stream.write(part)  # gzip files may be joined
                for line in gzip.decompress(part).decode().splitlines():
                    rows[split].extend(SceneRecord.from_dict(json.loads(line)).rows())
    info = DatasetInfo(name=settings.name, images="images", licence="MIT, as the program that made it")
    tables = partial / "tables"
    write_dataset(tables, info, rows)
    for file in sorted(tables.iterdir(), key=lambda path: path.name == "dataset.json"):
        file.replace(partial / file.name)
    return _give_name(partial, out)


def _give_name(partial: Path, out: Path) -> DatasetInfo:
    """Removes what only the making needed, and gives the whole dataset its place."""
    for needless in ("tables", "parts"):
        shutil.rmtree(partial / needless, ignore_errors=True)
    for folder in (partial, partial / "scenes"):
        put_back(folder)
    partial.rename(out)
    return PreparedDataset.open(out).info
