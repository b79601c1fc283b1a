"""What programs ask: JSON over HTTP under /api/v1, and the health of the worker. Each module has `ROUTES`."""
