"""A year of a fab in minutes: images through the real service, and everything that goes wrong."""
