"""The front door: the `waferroute` command and the configuration that composes each package's own."""
