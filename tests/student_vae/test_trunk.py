"""The student's trunk: its blocks, and what they cost."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from student_vae import StudentConfig
from student_vae.trunk import InvertedBlock, Trunk, make_block

BLOCKS = ("residual", "inverted")


def block_of(name: str, channels: int) -> torch.nn.Module:
    return make_block(StudentConfig(block=name), channels)


def weights(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_keeps_the_shape_and_passes_its_input_on(name):
    block = block_of(name, 6).eval()
    for parameter in block.parameters():
        parameter.data.zero_()
    x = torch.rand(2, 6, 5, 7)
    torch.testing.assert_close(block(x), x)


def test_an_inverted_block_mixes_channels_at_a_point_and_space_within_a_channel():
    block = InvertedBlock(4).eval()
    x = torch.zeros(1, 4, 9, 9)
    changed = x.clone()
    changed[0, 1, 4, 4] = 1.0
    moved = (block(changed) - block(x)).abs().sum(1)[0] > 0
    rows, columns = torch.nonzero(moved, as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 5, 3, 5)


def test_an_inverted_block_has_a_fraction_of_the_weights_of_a_residual_one():
    assert weights(block_of("inverted", 64)) < weights(block_of("residual", 64)) / 3


def test_every_number_of_channels_can_be_set():
    config = StudentConfig(input_size=128, map_size=16, channels=[3, 5, 7, 9], block="inverted", expansion=4)
    trunk = Trunk(config, 6)
    assert [layer[0].out_channels for layer in trunk.stem] == [4, 5, 7]  # four at least
    assert trunk.down[0].out_channels == 9
    assert trunk.fine[0].widen[0].out_channels == 28
    with pytest.raises(ValidationError, match=r"channels has 3 numbers.*needs 4"):
        StudentConfig(input_size=128, map_size=16, channels=[3, 5, 7])
    with pytest.raises(ValidationError, match="positive"):
        StudentConfig(input_size=128, map_size=16, channels=[3, 5, 0, 7])


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize(("size", "side"), [(256, 32), (128, 16), (64, 32)])
def test_the_map_has_the_configured_side(name, size, side):
    trunk = Trunk(StudentConfig(input_size=size, map_size=side, width=0.25, block=name), 5).eval()
    assert trunk(torch.rand(2, 1, size, size)).shape == (2, 5, side, side)


def test_the_head_is_one_over_the_map_and_its_enlarged_branch():
    trunk = Trunk(StudentConfig(input_size=128, map_size=16, width=0.5), 5).eval()
    x = torch.rand(2, 1, 128, 128)
    fine = trunk.fine(trunk.stem(x))
    deep = F.interpolate(trunk.deep(trunk.down(fine)), scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(trunk(x), trunk.head(torch.cat([fine, deep], 1)))
