"""Staged distillation under accelerate: each stage says who teaches, who learns, on what, with which losses."""
