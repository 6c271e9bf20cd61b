"""Readers of files that come from elsewhere, and sound files to damage."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from PIL import Image
from safetensors.torch import save_file

from cmpc.answers.formats.journal import AnswerJournal
from cmpc.blocks.dataset import Settings, make_blocks, read_scenes
from cmpc.bulk.inputs import find_input, plan_parts, read_part
from cmpc.bulk.outputs import BulkOutput
from cmpc.cli.photos import asked_photos
from cmpc.data.images import read_image
from cmpc.data.schema import PreparedDataset
from cmpc.data.sources import coco, own, phrasecut, refer_api
from cmpc.data.sources.collection import WHOLE
from cmpc.data.sources.faults import Faults
from cmpc.data.sources.instances import Instances
from cmpc.data.sources.referit import read_region_mask
from cmpc.data.sources.restricted_pickle import read_plain_pickle
from cmpc.data.vocabulary import Vocabulary
from cmpc.errors import UserError
from cmpc.evaluation.journal import Journal
from cmpc.interop.backbone_weights import load_backbone_weights
from cmpc.interop.embeddings import load_embeddings
from cmpc.interop.tensorflow.checkpoint import open_checkpoint
from cmpc.model_folder import load_model_folder
from cmpc.models.build import build_network
from cmpc.phrasing.annotations import read_photos
from cmpc.serving.label_studio.label_config import read_label_config
from cmpc.training.checkpoints import RunFolder
from cmpc.training.progress import TableFile
from networks import tiny_config
from robustness.material import WORDS, write_model, write_photo, write_prepared

TESTS = Path(__file__).parents[1]
VOCABULARY = Vocabulary(WORDS)


@dataclass(frozen=True)
class Reader:
    """A reader, and what it reads."""

    write: Callable[[Path], list[Path]]
    """Writes sound files into an empty folder; gives those to damage, one at a time."""
    read: Callable[[Path], object]
    """Reads what lies in the folder."""


def _copied(*files: str) -> Callable[[Path], list[Path]]:
    return lambda folder: [Path(shutil.copy(TESTS / file, folder)) for file in files]


def _read_checkpoint(prefix: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        checkpoint = open_checkpoint(folder / prefix)
        return [checkpoint.read(name) for name in checkpoint.names()]

    return read


def _pictures(folder: Path) -> list[Path]:
    return [write_photo(folder / f"photo.{suffix}") for suffix in ("jpg", "png", "webp", "gif", "bmp", "tiff", "ppm")]


def _glove(folder: Path) -> list[Path]:
    lines = [f"{word} {' '.join(f'{0.1 * number:.2f}' for number in range(5))}" for word in WORDS[4:]]
    (folder / "glove.txt").write_text("\n".join(lines) + "\n")
    return [folder / "glove.txt"]


def _matrix(folder: Path) -> list[Path]:
    stream = io.BytesIO()
    np.save(stream, np.ones((len(WORDS), 3), np.float32))
    (folder / "rows.npy").write_bytes(stream.getvalue())
    return [folder / "rows.npy"]


def _table(folder: Path) -> list[Path]:
    write_photo(folder / "photo.png")
    mask = np.zeros((60, 80), np.uint8)
    mask[15:30, 20:40] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    shapes = [
        {"box": [20, 15, 20, 15]},
        {"polygon": [20, 15, 40, 15, 40, 30]},
        {"rle": {"size": [60, 80], "counts": [100, 20, 4680]}},
        {"mask": "mask.png"},
        {"mask": ["mask.png", "mask.png"]},
        {"box": []},
    ]
    rows = [{"image": "photo.png", "expressions": ["red box"], "split": "train", **shape} for shape in shapes]
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [folder / "table.jsonl", folder / "mask.png"]


def _coco(folder: Path) -> list[Path]:
    write_photo(folder / "photo.png")
    instances = {
        "images": [{"id": 1, "file_name": "photo.png", "width": 80, "height": 60}],
        "annotations": [
            {"id": 5, "image_id": 1, "category_id": 2, "segmentation": [[20, 15, 40, 15, 40, 30]], "iscrowd": 0}
        ],
        "categories": [{"id": 2, "name": "box"}],
    }
    (folder / "instances.json").write_text(json.dumps(instances))
    (folder / "expressions.json").write_text(json.dumps([{"ann_id": 5, "expressions": ["red box"]}]))
    return [folder / "instances.json", folder / "expressions.json"]


def _read_coco(folder: Path) -> object:
    Instances.load(folder / "instances.json")
    return coco.collect(folder / "instances.json", folder / "expressions.json", folder, WHOLE, default_split="train")


def _references(folder: Path) -> list[Path]:
    files = _coco(folder)
    entries = [
        {"ref_id": 1, "image_id": 1, "ann_id": [5], "split": "train", "sentences": [{"sent": "red box"}]},
        {"ref_id": 2, "image_id": 1, "ann_id": [-1], "split": "val", "sentences": [{"sent": "the man"}]},
    ]
    (folder / "refs.json").write_text(json.dumps(entries))
    return [files[0], folder / "refs.json"]


def _read_references(folder: Path) -> object:
    return refer_api.collect(refer_api.layout("mine", folder, "refs.json", None), folder, folder, WHOLE)


def _phrases(folder: Path) -> list[Path]:
    write_photo(folder / "1.jpg")
    task = {
        "task_id": "1__5",
        "image_id": 1,
        "Polygons": [[[[20, 15], [40, 15], [40, 30]]], [[[1, 1], [5, 1], [5, 5]]]],
        "phrase": "red box on table",
        "phrase_structure": {
            "name": "box",
            "attributes": ["red"],
            "relation_descriptions": [["on", "table"]],
            "type": "name",
        },
    }
    (folder / "refer_val.json").write_text(json.dumps([task]))
    (folder / "image_data_split3000.json").write_text(json.dumps([{"image_id": 1, "width": 80, "height": 60}]))
    return [folder / "refer_val.json", folder / "image_data_split3000.json"]


def _prepared(folder: Path) -> list[Path]:
    data = write_prepared(folder / "data")
    return [file for file in sorted(data.iterdir()) if file.is_file()]


def _read_prepared(folder: Path) -> object:
    dataset = PreparedDataset.open(folder / "data")
    return [dataset.read_image(row) for split in dataset.splits for row in dataset.read(split)]


def _model(folder: Path) -> list[Path]:
    write_model(folder / "model")
    return [folder / "model" / name for name in ("config.json", "config.json", "vocabulary.txt", "model.safetensors")]


def _scenes(folder: Path) -> list[Path]:
    make_blocks(folder / "blocks", Settings(seed=0, size=64, splits={"val": 2}))
    return [folder / "blocks" / "scenes" / "val.jsonl.gz"]


def _journal(folder: Path) -> list[Path]:
    lines = [{"evaluation": {"model": "a"}}, *({"sample": n, "without_crf": [n, n + 1]} for n in range(4))]
    (folder / "unfinished.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [folder / "unfinished.jsonl"]


def _asked(folder: Path) -> list[Path]:
    write_photo(folder / "photo.png")
    table = pyarrow.table({"image": ["photo.png"], "expression": ["red box"]})
    pyarrow.parquet.write_table(table, folder / "asked.parquet")
    (folder / "asked.csv").write_text('image,expression\nphoto.png,"red box, left"\n')
    (folder / "asked.tsv").write_text("photo\texpression\nphoto.png\tred box\n")
    (folder / "asked.jsonl").write_text(json.dumps({"image": "photo.png", "expressions": ["red box"]}) + "\n")
    return [folder / f"asked.{suffix}" for suffix in ("parquet", "csv", "tsv", "jsonl")]


def _read_asked(folder: Path) -> object:
    return [asked_photos([str(path)], path) for path in sorted(folder.glob("asked.*"))]


def _bulk(folder: Path) -> list[Path]:
    return [path for path in _asked(folder) if path.suffix in (".parquet", ".jsonl")]


def _read_bulk(folder: Path) -> object:
    rows = []
    for suffix in (".parquet", ".jsonl"):
        found = find_input(str(folder / f"asked{suffix}"), has_expressions=False)
        rows += [
            read_part([str(file) for file in found.files], found.kind, (), part) for part in plan_parts(found, 4).parts
        ]
    return rows


def _bulk_output(folder: Path) -> list[Path]:
    BulkOutput(str(folder)).begin({"model": "a"}, resume=False)
    return [path for path in folder.iterdir() if path.is_file()]


def _instances_to_phrase(folder: Path) -> list[Path]:
    return _coco(folder)[:1]


def _answers(folder: Path) -> list[Path]:
    journal = AnswerJournal(folder, {"model": "a"}, resume=False)
    for number in range(4):
        journal.append({"photo": "photo.png", "name": f"photo{number}", "height": 6, "width": 8, "predictions": []})
    journal.close()
    return [journal.path]


def _read_answers(folder: Path) -> object:
    journal = AnswerJournal(folder, {"model": "a"}, resume=True)
    return [record["predictions"] for record in journal.records.values()]


def _training_table(folder: Path) -> list[Path]:
    (folder / "training.csv").write_text("step,loss\n1,0.5\n2,0.25\n")
    return [folder / "training.csv"]


def _state_dicts(folder: Path) -> list[Path]:
    weights = build_network(tiny_config(len(WORDS))).backbone.state_dict()
    save_file(weights, folder / "weights.safetensors")
    torch.save(weights, folder / "weights.pth")
    return [folder / "weights.safetensors", folder / "weights.pth"]


def _read_state_dicts(folder: Path) -> object:
    network = build_network(tiny_config(len(WORDS)))
    for file in sorted(folder.iterdir()):
        try:
            load_backbone_weights(network, str(file))
        except UserError:  # also of the sound ones, which are of no published network
            continue
    return network


def _labels(folder: Path) -> list[Path]:
    (folder / "labels.xml").write_text(
        '<View><Image name="image" value="$image"/><BrushLabels name="tag" toName="image">'
        '<Label value="dog" hint="the left dog"/></BrushLabels></View>'
    )
    return [folder / "labels.xml"]


def _run(folder: Path) -> list[Path]:
    return [Path(shutil.copy(TESTS / "training" / "fixtures" / "run_of_format_1" / "run.json", folder))]


READERS = {
    "tensorflow bundle": Reader(
        _copied(*(f"interop/checkpoints/tiny_v2.{end}" for end in ("index", "data-00000-of-00001"))),
        _read_checkpoint("tiny_v2"),
    ),
    "tensorflow bundle of many": Reader(
        _copied(*(f"interop/checkpoints/many_v2.{end}" for end in ("index", "data-00000-of-00001"))),
        _read_checkpoint("many_v2"),
    ),
    "tensorflow checkpoint": Reader(_copied("interop/checkpoints/tiny_v1.ckpt"), _read_checkpoint("tiny_v1.ckpt")),
    "pickle": Reader(
        _copied("data/refer/refcoco/refs(unc).p"), lambda folder: read_plain_pickle(folder / "refs(unc).p")
    ),
    "mat": Reader(_copied("data/referit/mask/1000_1.mat"), lambda folder: read_region_mask(folder / "1000_1.mat")),
    "glove": Reader(_glove, lambda folder: load_embeddings(folder / "glove.txt", VOCABULARY)),
    "npy": Reader(_matrix, lambda folder: load_embeddings(folder / "rows.npy", VOCABULARY)),
    "images": Reader(_pictures, lambda folder: [read_image(path, exif_rotation=True) for path in folder.iterdir()]),
    "table": Reader(_table, lambda folder: own.collect(folder / "table.jsonl", folder, WHOLE)),
    "coco": Reader(_coco, _read_coco),
    "references": Reader(_references, _read_references),
    "phrases": Reader(_phrases, lambda folder: phrasecut.collect(folder, folder, WHOLE)),
    "prepared": Reader(_prepared, _read_prepared),
    "scenes": Reader(_scenes, lambda folder: list(read_scenes(folder / "blocks", "val"))),
    "model": Reader(_model, lambda folder: load_model_folder(folder / "model")),
    "journal": Reader(_journal, lambda folder: Journal(folder, {"model": "a"}, resume=True)),
    "asked": Reader(_asked, _read_asked),
    "bulk": Reader(_bulk, _read_bulk),
    "bulk output": Reader(_bulk_output, lambda folder: BulkOutput(str(folder)).begin({"model": "a"}, resume=True)),
    "phrase": Reader(_instances_to_phrase, lambda folder: list(read_photos(folder / "instances.json", Faults()))),
    "answers": Reader(_answers, _read_answers),
    "training table": Reader(
        _training_table, lambda folder: TableFile(folder / "training.csv", ("step", "loss"), keep_until=2)
    ),
    "state dicts": Reader(_state_dicts, _read_state_dicts),
    "label config": Reader(
        _labels,
        lambda folder: read_label_config((folder / "labels.xml").read_bytes().decode(errors="replace")),
    ),
    "run": Reader(_run, lambda folder: RunFolder(folder).check(resume=True)),
}
"""Name -> reader."""
