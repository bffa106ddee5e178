"""The process that places photos with pycolmap, the only module that imports it: `python -m engine.photos.sfm_process FOLDER`.

FOLDER holds `job.json` and the photos in `photos/`. The result is a COLMAP model in text beside features and matches in
`database.db`. It is a process of its own, so that it can be stopped at once, and because a fault in compiled code must not end
the app. It ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

SEED = 0
THREADS = 2
MIN_MODEL = 3
"""Photos of a model that is worth keeping."""
PEAK_THRESHOLD = 0.002
EDGE_THRESHOLD = 16.0
"""Weaker features than by default (0.0067 and 10): rooms have plain walls, and what is wrong is thrown out by the geometry."""
MAX_FEATURES = 4096
MIN_INLIERS = 20
MIN_INIT_INLIERS = 50
"""Matches that a photo needs to be placed, and the first two; by default 30 and 100."""
DATABASE = "database.db"
JOB = "job.json"
PHOTOS = "photos"
PAIRS = "pairs.txt"
MODELS = "models"
PROGRESS = "placed.txt"


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def place(folder: Path) -> None:
    """Find features, match them, and place the photos; see the module."""
    pycolmap: Any = import_module("pycolmap")  # its types are partly unknown
    job: dict[str, Any] = json.loads((folder / JOB).read_text(encoding="utf-8"))
    database, photos = folder / DATABASE, folder / PHOTOS
    pycolmap.set_random_seed(SEED)
    extraction = pycolmap.FeatureExtractionOptions(num_threads=THREADS)
    extraction.sift.max_num_features = MAX_FEATURES
    extraction.sift.peak_threshold = PEAK_THRESHOLD
    extraction.sift.edge_threshold = EDGE_THRESHOLD
    for names in job["cameras"]:  # photos of one size share one camera
        pycolmap.extract_features(
            database,
            photos,
            image_names=names,
            camera_mode=pycolmap.CameraMode.SINGLE,
            reader_options=pycolmap.ImageReaderOptions(camera_model="SIMPLE_RADIAL"),
            extraction_options=extraction,
            device=pycolmap.Device.cpu,
        )
    matching = pycolmap.FeatureMatchingOptions(num_threads=THREADS)
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = SEED
    pairing = pycolmap.ImportedPairingOptions(match_list_path=folder / PAIRS)
    pycolmap.match_image_pairs(
        database,
        matching_options=matching,
        pairing_options=pairing,
        verification_options=verification,
        device=pycolmap.Device.cpu,
    )
    options = pycolmap.IncrementalPipelineOptions(num_threads=THREADS, random_seed=SEED, min_model_size=MIN_MODEL)
    options.mapper.random_seed = options.triangulation.random_seed = SEED
    options.mapper.num_threads = THREADS
    options.mapper.abs_pose_min_num_inliers = MIN_INLIERS
    options.mapper.init_min_num_inliers = MIN_INIT_INLIERS
    options.triangulation.ignore_two_view_tracks = False  # in rooms two views are often all that see a detail
    models = folder / MODELS
    models.mkdir()
    progress = folder / PROGRESS

    def count_one() -> None:
        with progress.open("a", encoding="ascii") as file:
            file.write("1")

    found = pycolmap.incremental_mapping(database, photos, models, options, next_image_callback=count_one)
    for number, model in found.items():
        target = models / str(number)
        target.mkdir(exist_ok=True)
        model.write_text(target)


def main() -> None:
    """Run, and say in one line on standard error what failed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    place(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # nothing is left to do, and compiled code need not be taken apart


if __name__ == "__main__":
    main()
