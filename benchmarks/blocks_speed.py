"""How fast one core makes Blocks: scene, expressions, picture, masks, JPEG.

    OMP_NUM_THREADS=1 python benchmarks/blocks_speed.py --images 60

Prints images per second of CPU time of one process, the median and the spread of several rounds over the same images.
"""

from __future__ import annotations

import argparse
import statistics
import time

import cv2

from cmpc.blocks.generate import make_sample


def main() -> None:
    """Times the rounds and prints the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60, help="images in a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, after one that is not counted")
    parser.add_argument("--size", type=int, default=192, help="side of the images in pixels")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    speeds = []
    for _ in range(options.rounds + 1):
        start = time.process_time()
        for index in range(options.images):
            image = make_sample(0, "train", index, options.size).rendering.pixels
            cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])
        speeds.append(options.images / (time.process_time() - start))
    counted = speeds[1:]
    print(f"{statistics.median(counted):.1f} images/s a core ({min(counted):.1f} to {max(counted):.1f})")


if __name__ == "__main__":
    main()
