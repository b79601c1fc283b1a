"""Images in shards: many in one file, read from a disk or an object store, without a small file each.

Three kinds of archive look alike from here: Parquet files (through pyarrow, also on S3 and Google Cloud Storage), tar
files in WebDataset's layout, and folders of image files, cut into shards of a thousand. Needs the extra `[archive]`.
"""

from wafer_data.shards.archive import Shard, open_archive
from wafer_data.shards.item import Item

__all__ = ["Item", "Shard", "open_archive"]
