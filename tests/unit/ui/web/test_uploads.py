"""The bound on what the served folder holds."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ui.web.uploads import UploadQuota


def put(folder: Path, name: str, size: int, *, age_s: float = 0) -> Path:
    path = folder / name
    path.write_bytes(bytes(size))
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def test_the_oldest_go_first_and_the_new_ones_stay(tmp_path: Path) -> None:
    quota = UploadQuota(tmp_path, max_bytes=100, max_files=10, keep_s=60)
    oldest, old, new = put(tmp_path, "c", 40, age_s=300), put(tmp_path, "a", 30, age_s=200), put(tmp_path, "b", 30)
    assert quota.make_room("first", 20) is None
    assert [path.exists() for path in (oldest, old, new)] == [False, True, True]
    full = quota.make_room("second", 60)
    assert full is not None
    assert "of 10 and 0 MB" in full
    assert [path.exists() for path in (old, new)] == [False, True]


def test_uploads_under_way_count_until_they_are_done(tmp_path: Path) -> None:
    quota = UploadQuota(tmp_path, max_bytes=100, max_files=10)
    assert quota.make_room("first", 80) is None
    assert quota.make_room("second", 80) is not None
    quota.done("first")
    assert quota.make_room("second", 80) is None


def test_files_are_counted_too(tmp_path: Path) -> None:
    quota = UploadQuota(tmp_path, max_bytes=10**6, max_files=3)
    for number in range(3):
        put(tmp_path, str(number), 1)
    assert quota.make_room("first", 1) is not None
