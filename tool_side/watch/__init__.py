"""Watch mode: images are scored as a tool drops them into a folder, and none is lost."""
