"""waferroute: foundation-model distillation and dynamic routing for wafer surface inspection.

The public names, each imported when it is first used: `import waferroute` costs nothing, and on the inspection tool
`waferroute.Inspector` needs numpy, onnxruntime and Pillow only. `docs/api.md` shows them at work.

>>> import waferroute
>>> waferroute.load_config("quickstart").data.format
'elpv'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from likelihood.config import LikelihoodConfig as LikelihoodConfig
    from likelihood.fit import fit_likelihood as fit_likelihood
    from likelihood.model import FeatureLikelihood as FeatureLikelihood
    from router.calibrate import calibrate_policy as calibrate_policy
    from router.decision import Decision as Decision
    from router.decision import Route as Route
    from router.gate import QualityGate as QualityGate
    from router.gate import fit_gate as fit_gate
    from router.policy import RoutingPolicy as RoutingPolicy
    from student_vae.checkpoint import load_student as load_student
    from student_vae.model import StudentVAE as Student  # noqa: F401
    from teacher.model import Teacher as Teacher
    from teacher.model import load_teacher as load_teacher
    from teacher.module_backbone import register_backbone as register_backbone
    from tool_side.bundle.load import Bundle as Bundle
    from tool_side.bundle.load import load_bundle as load_bundle
    from tool_side.runtime.inspection import Inspection as Inspection
    from tool_side.runtime.inspector import Inspector as Inspector
    from wafer_data.errors import InputError as InputError
    from wafer_data.image_ref import ImageRef as ImageRef
    from wafer_data.store import ImageStore as ImageStore
    from waferroute.config import RunConfig as RunConfig
    from waferroute.config import load_config as load_config
    from waferroute.library import calibrate as calibrate
    from waferroute.library import distill as distill
    from waferroute.library import export as export
    from waferroute.library import fit_teacher as fit_teacher
    from waferroute.library import open_images as open_images

    __version__: str

_HOMES = {
    # on the tool
    "Inspector": "tool_side.runtime.inspector",
    "Inspection": "tool_side.runtime.inspection",
    "Bundle": "tool_side.bundle.load",
    "load_bundle": "tool_side.bundle.load",
    "Decision": "router.decision",
    "Route": "router.decision",
    "ImageRef": "wafer_data.image_ref",
    "InputError": "wafer_data.errors",
    # from images to a bundle
    "open_images": "waferroute.library",
    "fit_teacher": "waferroute.library",
    "distill": "waferroute.library",
    "calibrate": "waferroute.library",
    "export": "waferroute.library",
    # what they give back, and the parts they are made of
    "ImageStore": "wafer_data.store",
    "Teacher": "teacher.model",
    "load_teacher": "teacher.model",
    "register_backbone": "teacher.module_backbone",
    "Student": "student_vae.model:StudentVAE",
    "load_student": "student_vae.checkpoint",
    "FeatureLikelihood": "likelihood.model",
    "LikelihoodConfig": "likelihood.config",
    "fit_likelihood": "likelihood.fit",
    "QualityGate": "router.gate",
    "fit_gate": "router.gate",
    "RoutingPolicy": "router.policy",
    "calibrate_policy": "router.calibrate",
    # configuration
    "RunConfig": "waferroute.config",
    "load_config": "waferroute.config",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("waferroute")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, other = _HOMES[name].partition(":")
    found = getattr(import_module(module), other or name)
    globals()[name] = found  # asked for once
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
