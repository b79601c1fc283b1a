"""Stored images by the million: scored again with a bundle, and searched for what looks alike.

Needs the extra `[archive]` (pyarrow, FAISS) beside the tool's own three packages, and nothing of the training side.
"""
