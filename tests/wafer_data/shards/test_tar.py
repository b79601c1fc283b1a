"""Tar shards in WebDataset's layout: every image is read, or the shard is refused."""

import io
import json
import tarfile

import pytest

from wafer_data.errors import DataError
from wafer_data.shards import Item, open_archive

BLOCK = tarfile.BLOCKSIZE


def _write(path, *members):
    """A tar file of names, or of (name, content)."""
    with tarfile.open(path, "w") as tar:
        for member in members:
            name, data = (member, member.encode()) if isinstance(member, str) else member
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def _items(path):
    (shard,) = open_archive(path)
    return list(shard.items())


def _sources(path):
    return [item.source for item in _items(path)]


def test_image_mask_and_description_of_one_stem_are_one_sample(tmp_path):
    path = _write(
        tmp_path / "t-000.tar",
        ("000.json", json.dumps({"label": 1, "type": "stain"}).encode()),
        ("000.png", b"one"),
        ("000.mask.png", b"mask"),
        ("x/001.JPG", b"two"),
    )
    assert _items(path) == [
        Item("t-000/000", b"one", b"mask", {"label": 1, "type": "stain"}),
        Item("t-000/x/001", b"two"),
    ]


class TestDamage:
    """The library takes a header that it cannot read for the end, unless it is the first."""

    NAMES = tuple(f"{number}.png" for number in range(6))

    def _header(self, number):
        return number * 2 * BLOCK  # each content fills one block

    def test_a_damaged_header_is_not_the_end(self, tmp_path):
        path = _write(tmp_path / "t.tar", *self.NAMES)
        data = bytearray(path.read_bytes())
        data[self._header(2)] ^= 0xFF
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"t\.tar is damaged after 2 files .*restore it"):
            _items(path)

    @pytest.mark.parametrize("kept", [100, 0, -BLOCK, BLOCK + 3])
    def test_a_file_that_was_cut_off_is_not_whole(self, tmp_path, kept):
        """Within a header, before one, before a content and within one."""
        path = _write(tmp_path / "t.tar", *self.NAMES)
        path.write_bytes(path.read_bytes()[: self._header(3) + kept])
        with pytest.raises(DataError, match=r"is damaged after [23] files"):
            _items(path)

    def test_zeros_in_place_of_a_header_are_not_the_end_either(self, tmp_path):
        path = _write(tmp_path / "t.tar", *self.NAMES)
        data = bytearray(path.read_bytes())
        data[self._header(2) : self._header(3)] = bytes(2 * BLOCK)
        path.write_bytes(data)
        with pytest.raises(DataError, match="is damaged after 2 files"):
            _items(path)

    @pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_a_damaged_header_of_any_form_loses_no_image_in_silence(self, tmp_path, form, caplog):
        """Headers have a check sum; a long name behind one has none, and may lose its suffix."""
        path, names = tmp_path / "t.tar", [f"{'long/' * 21}{number}.png" for number in range(3)]
        with tarfile.open(path, "w", format=form) as tar:
            for name in names:
                tar.addfile(tarfile.TarInfo(name))
        whole = path.read_bytes()
        for place in range(0, len(whole.rstrip(b"\0")), 7):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
            try:
                found = len(_items(path))
            except DataError:
                continue
            assert found == len(names) or "without an image" in caplog.text, place
            caplog.clear()


class TestNames:
    def test_dots_in_names_are_kept(self, tmp_path):
        path = _write(tmp_path / "t.tar", "W1.site1.png", "W1.site2.png", "W2.5um.tif", "v1.2/ok.png")
        assert _sources(path) == ["t/W1.site1", "t/W1.site2", "t/W2.5um", "t/v1.2/ok"]

    def test_mask_and_description_may_have_them_too(self, tmp_path):
        about = [(f"W1.site{number}.json", json.dumps({"site": number}).encode()) for number in (1, 2)]
        path = _write(
            tmp_path / "t.tar",
            ("W1.json", b"{}"),
            *(about[0], "W1.site1.mask.png", "W1.site1.png"),
            *("W1.site2.png", about[1]),
        )
        assert _items(path) == [
            Item("t/W1.site1", b"W1.site1.png", b"W1.site1.mask.png", {"site": 1}),
            Item("t/W1.site2", b"W1.site2.png", None, {"site": 2}),
        ]

    def test_further_files_of_a_sample_stay_beside_its_image(self, tmp_path, caplog):
        path = _write(
            tmp_path / "t.tar", ("000.json", b'{"lot": "L"}'), "000.meta.txt", "000.png", "000.seg.npy"
        )
        assert _items(path) == [Item("t/000", b"000.png", None, {"lot": "L"})]
        assert not caplog.text

    @pytest.mark.parametrize(
        "names",
        [
            ("000.png", "000.seg.png"),
            ("000.depth.png", "000.png"),
            ("000.png", "000.jpg"),
            ("000.png", "000.png"),
        ],
    )
    def test_two_images_that_may_be_one_sample_or_two_are_refused(self, tmp_path, names):
        path = _write(tmp_path / "t.tar", *names)
        with pytest.raises(DataError, match=f"{names[0]} and {names[1]} are one sample.*leave one out"):
            _items(path)

    def test_what_has_no_image_is_counted(self, tmp_path, caplog):
        path = _write(tmp_path / "t.tar", "000.webp", "001.png", ("002.json", b"{}"))
        assert _sources(path) == ["t/001"]
        assert "2 samples without an image are passed over, the first is 000" in caplog.text

    def test_hidden_files_of_macos_are_no_images(self, tmp_path, caplog):
        path = _write(
            tmp_path / "t.tar", "./._000.json", ("./000.json", b'{"lot": "L"}'), "./._000.png", "./000.png"
        )
        assert _items(path) == [Item("t/./000", b"./000.png", None, {"lot": "L"})]
        assert not caplog.text
