"""The configuration keys that people set. `waferroute config fields` shows these; `--all` shows the rest too.

The others exist for studies: their defaults were measured (docs/LOG.md) and suit every data set tried so far.
"""

from fnmatch import fnmatchcase

COMMON_KEYS = (
    "run.*",
    "data.format",
    "data.name",
    "data.root",
    "data.defects",
    "data.calibration_fraction",
    "data.test_fraction",
    "data.labelled_defects_per_type",
    "data.same_part",
    "data.expected_size",
    "data.skip_bad_images",
    "teacher.backbone",
    "teacher.model",
    "teacher.weights",
    "teacher.offline",
    "teacher.gradient.method",
    "distill.pool.generated",
    "distill.pool.flips",
    "distill.*.epochs",
    "distill.*.batch_size",
    "distill.*.student.width",
    "distill.mixed_precision",
    "distill.wandb",
    "router.escalation_target",
    "router.max_fnr",
    "router.flag_rate",
    "router.reject_rate",
    "router.confidence",
    "router.costs.*",
    "eval.baselines",
    "eval.fab.*",
    "export.int8",
)


def is_common(key: str) -> bool:
    """Whether people set `key`, a dotted path; the others are for studies."""
    return any(fnmatchcase(key, pattern) for pattern in COMMON_KEYS)
