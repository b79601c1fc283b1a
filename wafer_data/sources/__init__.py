"""Find the images of a data set on disk: MVTec layout, plain folders, and the ELPV package."""

from wafer_data.sources.layouts import GOOD, Candidate, Side, data_name, find_images

__all__ = ["GOOD", "Candidate", "Side", "data_name", "find_images"]
