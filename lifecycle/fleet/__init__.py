"""A version on its way to the tools: checked before it starts, staged by `service.fleet`."""
