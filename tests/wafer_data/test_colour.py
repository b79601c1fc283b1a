"""Colour images: read, brought to levels, stored and given out as three planes, and grey ones as before."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from tests.colour_images import write_coloured_folder
from tests.wafer_data.test_depth import png
from wafer_data.config import DataConfig
from wafer_data.errors import DataError, InputError
from wafer_data.imaging.arrays import image_from_array, image_from_picture
from wafer_data.imaging.depth import grey_of
from wafer_data.imaging.levels import Levels, find_levels
from wafer_data.imaging.planes import alone, as_picture, luminance, separate, stacked
from wafer_data.imaging.read import read_grey, read_image, to_square
from wafer_data.store import ImageStore, prepare_data

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (40, 51, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (40, 51, 3), dtype=np.uint16)
LIMITS = {"max_pixels": 1_000_000, "min_side": 16}


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


class TestReading:
    @pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
    def test_a_colour_file_keeps_its_colours(self, kind: str) -> None:
        np.testing.assert_array_equal(read_image(encoded(Image.fromarray(COLOUR), kind), colour=True), COLOUR)

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "JPEG"])
    def test_a_grey_file_has_three_equal_channels(self, kind: str) -> None:
        data = encoded(Image.fromarray(COLOUR[:, :, 0]), kind)
        found = read_image(data, colour=True)
        np.testing.assert_array_equal(found, np.dstack([read_grey(data)] * 3))

    def test_alpha_is_dropped_and_palettes_are_looked_up(self) -> None:
        alpha = np.dstack([COLOUR, COLOUR[:, :, 0]])
        np.testing.assert_array_equal(read_image(encoded(Image.fromarray(alpha), "PNG"), colour=True), COLOUR)
        palette = Image.fromarray(COLOUR).quantize(32)
        found = read_image(encoded(palette, "PNG"), colour=True)
        np.testing.assert_array_equal(found, np.asarray(palette.convert("RGB")))

    def test_16_bit_colour_keeps_its_bits(self) -> None:
        np.testing.assert_array_equal(read_image(png(DEEP), colour=True), DEEP)

    def test_luma_of_what_is_read_in_colour_is_what_is_read_in_grey(self) -> None:
        for data in (encoded(Image.fromarray(COLOUR), "JPEG"), png(DEEP)):
            np.testing.assert_array_equal(grey_of(read_image(data, colour=True)), read_grey(data))

    def test_uncompressed_ycbcr_is_turned_into_red_green_and_blue(self) -> None:
        data = encoded(Image.fromarray(COLOUR).convert("YCbCr"), "TIFF")
        found = read_image(data, colour=True).astype(int)
        expected = np.asarray(Image.fromarray(COLOUR).convert("YCbCr").convert("RGB")).astype(int)
        assert np.abs(found - expected).max() <= 1

    def test_arrays_and_pictures_are_read_as_files_are(self) -> None:
        np.testing.assert_array_equal(image_from_array(COLOUR, colour=True, **LIMITS), COLOUR)
        floats = (COLOUR / 255).astype(np.float32)
        np.testing.assert_array_equal(image_from_array(floats, colour=True, **LIMITS), COLOUR)
        swapped = np.ascontiguousarray(COLOUR[:, :, ::-1])
        found = image_from_array(swapped, colour=True, channel_order="bgr", **LIMITS)
        np.testing.assert_array_equal(found, COLOUR)
        found = image_from_picture(Image.fromarray(COLOUR), colour=True, **LIMITS)
        np.testing.assert_array_equal(found, COLOUR)
        grey = image_from_array(COLOUR[:, :, 0], colour=True, **LIMITS)
        np.testing.assert_array_equal(grey, np.dstack([COLOUR[:, :, 0]] * 3))

    def test_each_channel_becomes_a_square_as_a_grey_image_does(self) -> None:
        for image in (COLOUR, DEEP, (DEEP / 65535 * 0.7).astype(np.float32)):
            expected = [to_square(np.ascontiguousarray(image[:, :, i]), 32) for i in range(3)]
            np.testing.assert_array_equal(to_square(image, 32), np.stack(expected))


class TestPlanes:
    def test_luminance_of_equal_channels_is_that_grey_and_of_grey_itself(self) -> None:
        grey = to_square(COLOUR[:, :, 0], 32)
        assert luminance(grey) is grey
        np.testing.assert_allclose(luminance(np.stack([grey] * 3)), grey, atol=1e-6)

    def test_luminance_is_the_luma_that_files_are_read_with(self) -> None:
        planes = np.moveaxis(COLOUR, 2, 0).astype(np.float32) / 255
        np.testing.assert_allclose(luminance(planes), grey_of(COLOUR) / 255, atol=0.6 / 255)

    def test_images_and_batches_turn_into_one_another(self) -> None:
        grey, colour = np.zeros((5, 8, 8)), np.zeros((5, 3, 8, 8))
        assert stacked(list(grey)).shape == (5, 1, 8, 8) and stacked(list(colour)).shape == (5, 3, 8, 8)
        assert separate(stacked(grey)).shape == grey.shape and separate(stacked(colour)).shape == colour.shape
        assert alone(grey[0]).shape == (1, 1, 8, 8) and alone(colour[0]).shape == (1, 3, 8, 8)
        assert as_picture(grey[0]).shape == (8, 8) and as_picture(colour[0]).shape == (8, 8, 3)


def test_levels_are_common_to_the_channels_so_that_hues_stay() -> None:
    dim = (DEEP // 16).transpose(2, 0, 1)
    dim[2] //= 2
    levels = find_levels([dim])
    assert levels != Levels() and levels.white < 0.12
    stretched = levels.apply((dim / np.float32(65535)).astype(np.float32))
    inside = (stretched > 0).all(axis=0) & (stretched < 1).all(axis=0)
    steps = (stretched[0] - stretched[2])[inside] / (dim[0].astype(float) - dim[2])[inside]
    usual = np.abs(dim[0].astype(int) - dim[2])[inside] > 500
    assert steps[usual].std() < 0.01 * steps[usual].mean()


class TestStore:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return write_coloured_folder(tmp_path_factory.mktemp("coloured"), normals=36, tests=3, defects=2)

    def config(self, folder: Path, **more: object) -> DataConfig:
        return DataConfig(format="mvtec", root=str(folder), **more).at_size(32)  # type: ignore[arg-type]

    def test_images_are_given_out_as_the_tool_reads_them(self, folder: Path, tmp_path: Path) -> None:
        data = prepare_data(self.config(folder, colour=True), tmp_path / "data")
        assert data.channels == 3 and data.size == 32
        for index, record in enumerate(data.records):
            expected = to_square(read_image(record.path, colour=True), 32)
            np.testing.assert_array_equal(data.pixels(index), expected)
            np.testing.assert_array_equal(data.grey(index), luminance(expected))
        assert data.batch([0, 1]).shape == (2, 3, 32, 32) and data.batch([]).shape == (0, 3, 32, 32)
        again = ImageStore.open(tmp_path / "data")
        np.testing.assert_array_equal(again.pixels(3), data.pixels(3))
        defect = int(data.indices("test", 1)[0])
        mask = data.mask(defect)
        assert mask is not None and mask.shape == (32, 32)

    def test_grey_and_colour_are_different_data(self, folder: Path, tmp_path: Path) -> None:
        colour = prepare_data(self.config(folder, colour=True), tmp_path / "colour")
        grey = prepare_data(self.config(folder), tmp_path / "grey")
        assert grey.channels == 1 and grey.pixels(0).shape == (32, 32)
        assert grey.fingerprint != colour.fingerprint

    def test_an_image_of_one_colour_is_constant(self, tmp_path: Path) -> None:
        folder = write_coloured_folder(tmp_path / "in", normals=12, tests=3, defects=2)
        red = np.zeros((96, 96, 3), np.uint8)
        red[:, :, 0] = 200
        Image.fromarray(red).save(folder / "train/good/red.png")
        with pytest.raises(DataError, match=r"red\.png: constant: every pixel is \[200   0   0\]"):
            prepare_data(self.config(folder, colour=True), tmp_path / "data")

    def test_large_images_are_refused_in_colour_where_they_would_be_tiled(self, tmp_path: Path) -> None:
        for part, count in (("train/good", 6), ("test/good", 1), ("test/spot", 1)):
            (tmp_path / part).mkdir(parents=True)
            for i in range(count):
                noise = np.random.default_rng((len(part), i)).integers(0, 256, (520, 520, 3), dtype=np.uint8)
                Image.fromarray(noise).save(tmp_path / part / f"{i}.png", compress_level=0)
        config = DataConfig(format="mvtec", root=str(tmp_path), colour=True, calibration_fraction=0.4)
        with pytest.raises(InputError, match=r"colour=true does not go with tiles.*set data\.tiling=never"):
            prepare_data(config, tmp_path / "data")


def test_archives_are_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="colour=true does not go with format=shards"):
        DataConfig(format="shards", root="somewhere", colour=True)
