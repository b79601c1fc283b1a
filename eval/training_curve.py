"""The losses of a model that evaluation itself trained, epoch by epoch."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class EpochLosses:
    """Means over the images of one epoch, in nats an image."""

    epoch: int
    """From 0."""
    total: float
    """What was minimised: bce + kl_weight * kl, each step with its own weight."""
    bce: float
    """Binary cross-entropy of the reconstruction, summed over the pixels."""
    kl: float
    """KL(q(z | image) || N(0, I))."""
    kl_weight: float
    """In the epoch's last step."""
    learning_rate: float
    """In the epoch's last step."""


def to_csv(curve: Sequence[EpochLosses]) -> str:
    """One row an epoch under a header of the field names; as many digits as tell any two floats apart."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(EpochLosses)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in curve)
    return out.getvalue()
