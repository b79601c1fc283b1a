"""Latency against accuracy.

What each model, setting and routing threshold costs in time, and what that means for a stated budget and for
the fab's month.
"""
