"""Of a video the sharp pictures at even motion are taken; a broken or empty one gets a sentence."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from engine.errors import SceneError
from engine.photos import video
from engine.photos.video import choose_pictures, is_video, read_video


def write_video(path: Path, count: int) -> Path:
    """A bright square wanders over noise; every other picture is blurred."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 120, (96, 128, 3)).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.bit_rate = 4_000_000
        for k in range(count):
            rgb = noise.copy()
            rgb[20:60, 2 * k : 2 * k + 30] = (220, 200, 90)
            if k % 2:
                rgb = np.repeat(np.repeat(rgb[::8, ::8], 8, axis=0), 8, axis=1)
                rgb = ((rgb.astype(int) + np.roll(rgb, 4, 0) + np.roll(rgb, 4, 1) + np.roll(rgb, 4, (0, 1))) // 4).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def test_as_many_pictures_as_asked_for_sharp_ones_first(tmp_path: Path) -> None:
    seen: list[int] = []
    pictures = list(read_video(write_video(tmp_path / "a.mp4", 40), count=8, tick=lambda done, total: seen.append(done)))
    assert len(pictures) == 8
    assert all(picture.rgb.shape == (96, 128, 3) for picture in pictures)
    numbers = [picture.number for picture in pictures]
    assert numbers == sorted(numbers)
    assert sum(number % 2 == 0 for number in numbers) >= 6
    assert seen == list(range(40))


def test_a_rest_gives_few_pictures_and_motion_many() -> None:
    motion = np.r_[np.zeros(50), np.full(50, 10.0)]
    chosen = choose_pictures(np.ones(100), motion, count=10)
    assert (chosen >= 50).sum() >= 8
    assert choose_pictures(np.ones(1), np.zeros(1), count=5).tolist() == [0]


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_a_broken_video_gets_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(SceneError, match="the video is broken or cut short"):
        list(read_video(tmp_path / "a.mp4"))


def test_a_video_without_pictures_gets_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        for packet in stream.encode(frame):
            container.mux(packet)
    with pytest.raises(SceneError, match="found no picture"):
        list(read_video(path))


def test_without_pyav_a_sentence_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "find_spec", lambda name: None)
    with pytest.raises(SceneError, match=r"needs PyAV.*pip install 'maskgroup\[photos\]'"):
        list(read_video(tmp_path / "a.mp4"))


def test_videos_are_known_by_their_names() -> None:
    assert is_video(Path("a.MOV"))
    assert not is_video(Path("a.zip"))
