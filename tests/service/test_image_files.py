"""Images as files named by their content: kept once, whole, whoever keeps them at the same time."""

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from service.store import image_files
from service.store.image_files import ImageFiles


def named(data: bytes) -> tuple[str, bytes]:
    return hashlib.sha256(data).hexdigest(), data


def test_what_is_kept_comes_back_and_can_be_removed(tmp_path: Path) -> None:
    images, (sha256, data) = ImageFiles(tmp_path), named(b"pixels")
    images.put_many([(sha256, data)])
    assert images.has(sha256) and images.get(sha256) == data
    assert images.remove(sha256) and not images.remove(sha256) and images.get(sha256) is None


def test_a_file_that_a_crash_left_half_written_is_written_again(tmp_path: Path) -> None:
    images, (sha256, data) = ImageFiles(tmp_path), named(b"pixels" * 100)
    images.put_many([(sha256, data)])
    images.path_of(sha256).write_bytes(data[:50])
    images.put_many([(sha256, data)])
    assert images.get(sha256) == data


def test_what_a_killed_process_left_beside_an_image_is_removed(tmp_path: Path) -> None:
    images, (sha256, data) = ImageFiles(tmp_path), named(b"pixels")
    kill = (
        "import os, signal, sys; from pathlib import Path; from service.store.image_files import ImageFiles\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "ImageFiles(Path(sys.argv[1])).put_many([(sys.argv[2], b'pixels')])"
    )
    subprocess.run([sys.executable, "-c", kill, str(tmp_path), sha256], check=False)
    assert len(list(images.path_of(sha256).parent.iterdir())) == 1 and not images.has(sha256)
    images.put_many([(sha256, data)])
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [sha256]


def test_many_images_are_flushed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[object] = []
    monkeypatch.setattr(image_files, "_flush_file_system", flushed.append)
    monkeypatch.setattr(os, "fsync", flushed.append)
    ImageFiles(tmp_path).put_many([named(bytes([number])) for number in range(9)])
    assert flushed == [tmp_path]


def test_two_threads_may_keep_the_same_image_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have written their file before either gives it its name."""
    images, one = ImageFiles(tmp_path), named(b"pixels" * 1000)
    both, failed, replace = threading.Barrier(2, timeout=20), [], Path.replace

    def together(self: Path, target: Path) -> Path:
        both.wait()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", together)

    def keep() -> None:
        try:
            images.put_many([one])
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=keep) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and images.get(one[0]) == one[1]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [one[0]]


@pytest.mark.parametrize("name", ["", "a" * 63, "../" + "a" * 61, "A" * 64])
def test_names_that_are_no_digest_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        ImageFiles(tmp_path).get(name)
