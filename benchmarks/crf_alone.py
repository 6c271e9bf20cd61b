"""What the DenseCRF costs without any network.

python -m benchmarks.crf_alone DATA SPLIT N

Refines a mask for every expression of the first N images of the split, one after the other, on one core. Its time
depends on the photo, not on the mask.
"""

from __future__ import annotations

import sys

import numpy as np

from cmpc.data.schema import PreparedDataset
from cmpc.data.transforms import letterbox_image
from cmpc.evaluation.crf import refine, require_crf
from cmpc.evaluation.samples import samples_by_image

SIZE = 320


def main(data: str, split: str, images: int) -> None:
    """Refines all masks and prints how many.

    Raises:
        UserError: the package of the CRF is not installed.
    """
    require_crf()
    dataset = PreparedDataset.open(data)
    random = np.random.default_rng(0)
    masks = 0
    for samples in samples_by_image(dataset.read(split))[:images]:
        square = letterbox_image(dataset.read_image(samples[0].row), SIZE, "original")
        for _ in samples:
            refine(random.random((SIZE, SIZE), dtype=np.float32), square)
            masks += 1
    print(f"{masks} masks refined")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
