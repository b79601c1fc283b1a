"""The torch-free runtime: one image in, one decision out."""
