"""What is asked of a cell beside the likelihood of a few directions at its place, and which answers count."""
