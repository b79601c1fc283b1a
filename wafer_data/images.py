"""The name that reading images had before :mod:`wafer_data.imaging`; programs of others import it."""

from wafer_data.imaging.read import read_grey, to_square
from wafer_data.imaging.refused import UnreadableImage

__all__ = ["UnreadableImage", "read_grey", "to_square"]
