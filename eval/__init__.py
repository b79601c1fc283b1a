"""Judging a run: metrics with exact intervals, baselines, latency, and the report a fab decides from."""
