"""Values of the configuration that are constants: no file and no override may set them.

Each stands in its package's section with its value (`distill.config.StageConfig.kl_weight` and so on), where studies
change it in Python. Here is why nobody should turn it in a run; the figures behind the values are in docs/LOG.md.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel

from waferroute.config_fields import list_fields

TARGET, SOURCE = "distill.target.student.", "distill.intermediate.student."

_STEP = "the trainings settle with it at every size of set and batch that was tried; their length and rate are settings"
_FIT = "the closed-form fit was measured with it on every set; latent, levels and contamination are settings"
_TASK = "it defines what the training learns, and the measured figures rest on it"
_SHAPE = "the times on the tool are those of this architecture; width, channels and sizes are settings"
_ORDER = "it is what makes the stages follow each other"
_ASKED = "which questions count is decided by the images; which are tried is a setting, `ask`"
_BASELINE = "a baseline that everybody tunes otherwise compares nothing"
_NOT_SHIPPED = "this model stays in the fab and teaches the students"

REASONS = {
    "*.likelihood.ridge": _FIT,
    "*.likelihood.floor": _FIT,
    "*.likelihood.folds": _FIT,
    "*.likelihood.top_positions": _FIT,
    "*.likelihood.map_smoothing": _FIT,
    "*.likelihood.head_strength": _FIT,
    "*.likelihood.latent_grid": _FIT,
    "*.likelihood.latent_directions": _FIT,
    "*.likelihood.extra_coordinates": _FIT,
    "*.likelihood.prototypes": _FIT,
    "teacher.gradient.*.weight_decay": _STEP,
    "teacher.gradient.*.gradient_clip": _STEP,
    "teacher.gradient.*.held_out": _STEP,
    "teacher.gradient.*.ema": _STEP,
    "teacher.gradient.*.early_stopping": _STEP,
    "teacher.gradient.lora.alpha": "twice the default rank; the learning rate does the same and is a setting",
    "teacher.gradient.lora.preservation": _TASK,
    "teacher.gradient.lora.focal": _TASK,
    "teacher.gradient.lora.synthetic_share": _TASK,
    "teacher.gradient.lora.augment.brightness": _TASK,
    "teacher.gradient.lora.augment.contrast": _TASK,
    "teacher.gradient.lora.augment.noise": _TASK,
    "teacher.gradient.*.images_per_epoch": _STEP,
    "teacher.gradient.decoder.hidden": _TASK,
    "teacher.gradient.decoder.dropout": _TASK,
    "teacher.gradient.decoder.squared_weight": _TASK,
    "teacher.gradient.decoder.easy_share": _TASK,
    "teacher.gradient.decoder.easy_gradient": _TASK,
    "teacher.gradient.decoder.easy_ramp": _TASK,
    "teacher.gradient.decoder.residual_share": _TASK,
    "teacher.pretrain.weight_decay": _STEP,
    "teacher.pretrain.gradient_clip": _STEP,
    "teacher.pretrain.held_out": _STEP,
    "teacher.pretrain.early_stopping": "the epoch with the lowest held-out loss is kept; `epochs` bounds the time",
    "teacher.pretrain.checkpoint_epochs": "an epoch is what a killed run may lose",
    "teacher.pretrain.mask_ratio": _TASK,
    "teacher.pretrain.mask_size": _TASK,
    "teacher.pretrain.keep_weight": _TASK,
    "teacher.questions.directions": _ASKED,
    "teacher.questions.folds": _ASKED,
    "teacher.questions.prototypes": _ASKED,
    "teacher.questions.hidden": _ASKED,
    "teacher.questions.steps": _ASKED,
    "teacher.questions.noise": _ASKED,
    "teacher.questions.worth": _ASKED,
    "data.tile_overlap": "what is no larger than 64 pixels of a tile lies whole in one; more is time for every image",
    "distill.pool.synthetic_share": _TASK,
    "distill.pool.labelled_share": _TASK,
    "distill.pool.symmetry_limit": "flips=all and flips=none say otherwise where the surface is known",
    "distill.pool.foreign_mirrors": "flips=all and flips=none say otherwise where the surface is known",
    "distill.keep_cache": "what is kept is read by nothing",
    "distill.*.student.fine_blocks": _SHAPE,
    "distill.*.student.deep_blocks": _SHAPE,
    "distill.*.student.block": _SHAPE,
    "distill.*.student.expansion": _SHAPE,
    "distill.intermediate.student.channels": _SHAPE,
    "distill.intermediate.student.likelihood.*": _NOT_SHIPPED,
    f"{TARGET}*": f"the target is the intermediate model, fine-tuned: set {SOURCE.removesuffix('.')}",
    "distill.intermediate.teacher": _ORDER,
    "distill.target.teacher": _ORDER,
    "distill.*.start_from": _ORDER,
    "distill.intermediate.copies": _NOT_SHIPPED,
    "distill.target.copies": _NOT_SHIPPED,
    "distill.full.copies": "more copies pay at low resolution alone",
    "distill.intermediate.elbo_epochs": _NOT_SHIPPED,
    "distill.target.elbo_epochs": _NOT_SHIPPED,
    "distill.intermediate.ema": _NOT_SHIPPED,
    "distill.target.ema": _NOT_SHIPPED,
    "distill.intermediate.early_stopping": _NOT_SHIPPED,
    "distill.target.early_stopping": _NOT_SHIPPED,
    "distill.*.weight_decay": _STEP,
    "distill.*.gradient_clip": _STEP,
    "distill.*.held_out": _STEP,
    "distill.*.elbo_learning_rate": _STEP,
    "distill.*.bce_weight": "both weights at 1 make the loss the ELBO",
    "distill.*.kl_weight": "both weights at 1 make the loss the ELBO",
    "distill.*.kl_annealing": _STEP,
    "eval.baseline_images": _BASELINE,
    "eval.pca_components": _BASELINE,
    "eval.pca_variants": _BASELINE,
    "eval.pixel_vae.batch_size": _BASELINE,
    "eval.pixel_vae.learning_rate": _BASELINE,
    "eval.pixel_vae.gradient_clip": _BASELINE,
    "eval.pixel_vae.kl_weight": _BASELINE,
    "eval.pixel_vae.kl_annealing": _BASELINE,
}


def reason_for(key: str) -> str | None:
    """Why the dotted `key` is a constant; None for one that may be set."""
    return next((reason for pattern, reason in REASONS.items() if fnmatchcase(key, pattern)), None)


def split(content: dict[str, Any], defaults: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide what may be set from what may not.

    Args:
        content: Nested, as read from a file.
        defaults: `defaults_of` the whole configuration.

    Returns:
        `content` without constants that are named with their own value, as configurations of earlier versions do; and
        those that are given another one, by their dotted path, with the value that they always have.
    """
    given, wrong = dict(_leaves(content, defaults)), {}
    for key, value in given.items():
        if f"{key}." == TARGET:
            wrong[key] = f"that of {SOURCE.removesuffix('.')}"
        if reason_for(key) is None or key not in defaults:
            continue
        expected = defaults[key]
        if key.startswith(TARGET):  # the target's network is the intermediate's
            source = SOURCE + key.removeprefix(TARGET)
            expected = given.get(source, defaults[source])
        if value != expected:
            wrong[key] = expected
    return _pruned(content, set(given) - set(wrong)), wrong


def defaults_of(model: type[BaseModel]) -> dict[str, Any]:
    """The default of every key of `model` by its dotted path."""
    return {field.key: field.default for field in list_fields(model)}


def _leaves(content: dict[str, Any], known: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and key not in known:
            yield from _leaves(value, known, f"{key}.")
        else:
            yield key, value


def _pruned(content: dict[str, Any], known: set[str], prefix: str = "") -> dict[str, Any]:
    kept = {}
    for name, value in content.items():
        key = f"{prefix}{name}"
        if key in known and reason_for(key):
            continue
        below = isinstance(value, dict) and key not in known
        kept[name] = _pruned(value, known, f"{key}.") if below else value
    return kept
