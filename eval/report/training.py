"""The plot of how a baseline learned."""

from collections.abc import Sequence

from eval.pages.svg import canvas, to_svg
from eval.pages.theme import SERIES, STAND_INS
from eval.training_curve import EpochLosses


def training_plot(name: str, curve: Sequence[EpochLosses]) -> str:
    """Total loss and cross-entropy above, KL divergence below, in nats an image, by epoch.

    One frame would not do: the divergence is a thousandth of the cross-entropy.
    """
    epochs = [row.epoch + 1 for row in curve]
    colour = STAND_INS[SERIES[name].variable]
    with canvas(f"training-{name}") as (figure, _):
        figure.clear()
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        marker = "o" if len(curve) == 1 else None  # one point makes no line
        upper.plot(epochs, [row.total for row in curve], color=STAND_INS["ink"], marker=marker, label="total")
        upper.plot(
            epochs,
            [row.bce for row in curve],
            color=colour,
            marker=marker,
            dashes=(3, 1.5),
            label="cross-entropy",
        )
        lower.plot(epochs, [row.kl for row in curve], color=colour, marker=marker, label="KL divergence")
        for axes in (upper, lower):
            axes.legend(frameon=False, fontsize=10)
            axes.ticklabel_format(axis="y", useOffset=False)
            axes.set_ylabel("nats an image")
        lower.set_xlabel("epoch")
        lower.xaxis.get_major_locator().set_params(integer=True)
        return to_svg(figure, f"Losses of {SERIES[name].label}")
