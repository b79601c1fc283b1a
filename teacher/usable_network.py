"""Whether a network of one's own can be a teacher's backbone: what it says of images, before hours of work."""

import torch
from torch import Tensor

from teacher.module_backbone import ModuleBackbone
from wafer_data.errors import InputError

# Of the largest feature: less is rounding in the means over neighbours, and no difference between images.
_ROUNDING = 1e-6


def require_usable(backbone: ModuleBackbone) -> None:
    """Try the network with its weights on a black image and on one of grey squares, always the same.

    Raises:
        InputError: Its features are not finite, are the same whatever the image shows, or everywhere the same. Names
            the network and says which.
    """
    with torch.no_grad():
        black, squares = backbone(torch.cat([torch.zeros(1, 1, 256, 256), _squares()])).unbind()
    for what, maps in (("a black image", black), ("an image of grey squares", squares)):
        if not maps.isfinite().all():
            bad = int((~maps.isfinite()).sum())
            raise InputError(
                f"{backbone.name}: {bad} of {maps.numel()} features of {what} are not finite (NaN or infinite): "
                "check its weights, and for divisions by 0"
            )
    smallest = _ROUNDING * float(torch.stack([black, squares]).abs().max())
    if float((black - squares).abs().max()) <= smallest:
        raise InputError(
            f"{backbone.name}: the feature maps of a black image and of one of grey squares are the same, so they tell "
            "nothing of an image: check its weights"
        )
    if _spread(squares) <= smallest:
        raise InputError(
            f"{backbone.name}: its feature maps are the same at every place of an image, so they cannot tell where a "
            "defect is: leave out its pooling and its head"
        )


def _squares() -> Tensor:
    """(1, 1, 256, 256) in [0, 1]: squares of 16 pixels, each of its own grey."""
    greys = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    return greys.repeat_interleave(16, 2).repeat_interleave(16, 3)


def _spread(maps: Tensor) -> float:
    return float((maps.amax((1, 2)) - maps.amin((1, 2))).max())
