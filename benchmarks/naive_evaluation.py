"""The loop of the original's ``test`` around the naive network.

python -m benchmarks.naive_evaluation MODEL DATA SPLIT N

Prints the overall IoU over the expressions of the first N images of the split, one expression after the other.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.naive_segmenter import NaiveSegmenter
from cmpc.data.schema import PreparedDataset
from cmpc.evaluation.metrics import Score
from cmpc.evaluation.metrics import overlap as count_overlap
from cmpc.evaluation.protocols import mask_from_logits
from cmpc.evaluation.samples import samples_by_image


def main(model: str, data: str, split: str, images: int) -> None:
    """Evaluates and prints."""
    segmenter = NaiveSegmenter(Path(model))
    dataset = PreparedDataset.open(data)
    scores = []
    for samples in samples_by_image(dataset.read(split))[:images]:
        for sample in samples:
            photo = dataset.read_image(sample.row)
            logits = segmenter.logits(photo, sample.expression)
            mask = mask_from_logits(logits, sample.row.height, sample.row.width, "standard")
            scores.append(Score.of(count_overlap(mask, sample.row.decode_mask())))
    print(f"{len(scores)} expressions, overall IoU {Score.total(scores).overall_iou:.6f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
