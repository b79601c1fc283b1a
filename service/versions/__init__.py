"""The versions on this machine and which is in use: files, so that a switch needs no database and no network."""
