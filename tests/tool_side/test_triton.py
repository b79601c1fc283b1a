"""The Triton model repository: what is written, that it stands alone, and that it decides as the runtime does.

A real server runs it in test_triton_server.py.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tool_side import Inspection, Inspector, load_bundle
from tool_side.runtime.session import StudentOutput
from tool_side.triton import vendored
from tool_side.triton.repository import export_triton
from tool_side.triton.served import Student, served_inspector
from tool_side.triton.vendored import own_files
from wafer_data.errors import InputError
from waferroute.cli import export, main

Wafer = Callable[..., np.ndarray]
Bundles = Callable[..., Path]


@pytest.fixture(scope="module")
def images(wafer: Wafer, bad_images: dict[str, Path]) -> list[bytes | np.ndarray]:
    """Good and defective wafers as arrays of several kinds, and files that cannot be judged."""
    wafers = [wafer(seed, 0.4 if seed % 3 == 0 else 0.0) for seed in range(24)]
    wafers[1] = wafers[1].astype(np.uint16) * 257
    wafers[2] = wafers[2][:200, :230]
    wafers[3] = (wafers[3] / 255).astype(np.float32)
    files = [bad_images[name].read_bytes() for name in ("text", "empty", "truncated", "black", "huge")]
    return [*wafers[:12], *files, *wafers[12:]]


def essence(result: Inspection) -> tuple[object, ...]:
    return (
        *(result.decision, result.route, result.score, result.lowres_score, result.full_score),
        *(tuple(result.reasons), result.unreadable, None if result.map is None else result.map.tobytes()),
    )


class TestServed:
    def test_the_runtime_with_other_students_decides_as_it_does(
        self, bundle: Path, inspector: Inspector, images: list[bytes | np.ndarray]
    ) -> None:
        asked: Counter[str] = Counter()

        def student(name: str) -> Student:
            def answer(image: np.ndarray) -> StudentOutput:
                asked[name] += 1
                return inspector.students[name](image)

            return answer

        served = served_inspector(bundle, {name: student(name) for name in ("lowres", "full")})
        expected = [inspector.inspect(image) for image in images]
        assert [essence(served.inspect(image)) for image in images] == [essence(one) for one in expected]
        routes = Counter(result.route for result in expected)
        assert routes["lowres"] and routes["full"] and routes["none"]
        # Conditionally: the full student sees the escalated images only, neither sees what cannot be judged.
        assert asked == {"lowres": routes["lowres"] + routes["full"], "full": routes["full"]}

    @pytest.mark.parametrize("broken", ["lowres", "full"])
    def test_a_student_that_fails_never_makes_a_pass(
        self, bundle: Path, inspector: Inspector, wafer: Wafer, broken: str
    ) -> None:
        def fail(_: np.ndarray) -> StudentOutput:
            raise RuntimeError("the model is not loaded")

        students = inspector.students | {broken: fail}
        served = served_inspector(bundle, students)
        hard = served.inspect(wafer(3, 0.4))
        assert (
            hard.decision == "REVIEW" and hard.score is None and "the model is not loaded" in hard.reasons[0]
        )
        easy = served.inspect(wafer(1))  # does not need the full student
        assert easy.decision == ("REVIEW" if broken == "lowres" else "PASS")


class TestVendored:
    def test_what_decides_on_the_tool_travels_byte_for_byte(self) -> None:
        files = own_files("tool_side.triton.served")
        assert {
            "router/policy.py",
            "tool_side/runtime/inspector.py",
            "wafer_data/imaging/read.py",
            "tool_side/__init__.py",
        } <= set(files)
        root = Path(vendored.__file__).parents[2]
        assert all((root / path).read_bytes() == content for path, content in files.items())

    def test_nothing_more_travels(self) -> None:
        assert not {"tool_side/export/write.py", "tool_side/watch/watch.py", "router/calibrate.py"} & set(
            own_files("tool_side.triton.served")
        )

    def test_a_module_that_does_not_exist(self) -> None:
        with pytest.raises(ModuleNotFoundError, match=r"tool_side\.nothing"):
            own_files("tool_side.nothing")

    @pytest.mark.parametrize("module", ["tool_side.triton.served", "tool_side.runtime.session"])
    def test_the_copies_import_without_the_project(self, module: str, tmp_path: Path) -> None:
        for path, content in own_files(module).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(content)
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import {module} as m; print(m.__file__)"
        ended = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert ended.stdout.startswith(str(tmp_path)), ended.stderr


class TestRepository:
    @pytest.mark.parametrize("backend", ["onnxruntime", "python"])
    def test_three_models_with_their_configurations(self, bundle: Path, tmp_path: Path, backend: str) -> None:
        assert export_triton(bundle, tmp_path / "models", backend=backend, max_batch=16) == [
            "lowres", "full", "routed",
        ]  # fmt: skip
        for name in ("lowres", "full"):
            folder = tmp_path / "models" / name
            assert (folder / "1" / "model.onnx").read_bytes() == (bundle / f"{name}.onnx").read_bytes()
            assert (folder / "1" / "model.py").is_file() == (backend == "python")
            config = (folder / "config.pbtxt").read_text()
            assert f'name: "{name}"\nbackend: "{backend}"\nmax_batch_size: 16\n' in config
            assert "dynamic_batching {}" in config
            assert config.count("model_warmup [") == 2 and "batch_size: 16" in config
        routed = (tmp_path / "models" / "routed" / "config.pbtxt").read_text()
        assert 'backend: "python"' in routed and "dims: [64, 64]" in routed  # the larger map of the two

    def test_a_prefix_lets_one_server_hold_several_bundles(self, bundle: Path, tmp_path: Path) -> None:
        names = export_triton(bundle, tmp_path / "models", prefix="layer3_")
        assert names == ["layer3_lowres", "layer3_full", "layer3_routed"]
        assert {path.name for path in (tmp_path / "models").iterdir()} == set(names)
        config = (tmp_path / "models" / "layer3_routed" / "config.pbtxt").read_text()
        assert 'key: "full" value { string_value: "layer3_full" }' in config

    def test_no_threshold_enters_a_configuration(self, bundle: Path, tmp_path: Path) -> None:
        export_triton(bundle, tmp_path / "models")
        policy = load_bundle(bundle).policy
        for path in (tmp_path / "models").rglob("config.pbtxt"):
            assert str(policy.escalate_above) not in path.read_text()
        kept = load_bundle(tmp_path / "models" / "routed" / "1" / "bundle")
        assert kept.policy == policy and kept.manifest == load_bundle(bundle).manifest

    def test_it_is_replaced_as_a_whole_but_nothing_else_is(self, bundle: Path, tmp_path: Path) -> None:
        export_triton(bundle, tmp_path / "models", prefix="old_")
        export_triton(bundle, tmp_path / "models")
        assert {path.name for path in (tmp_path / "models").iterdir()} == {"lowres", "full", "routed"}
        (tmp_path / "models" / "notes.txt").write_text("mine")
        with pytest.raises(InputError, match=r"notes\.txt in it is no Triton model"):
            export_triton(bundle, tmp_path / "models")
        assert (tmp_path / "models" / "notes.txt").read_text() == "mine"

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"backend": "tensorrt"}, "use one of onnxruntime, python"),
            ({"prefix": "a/b"}, "letters, digits"),
            ({"max_batch": 0}, "at least 1"),
        ],
    )
    def test_what_the_server_would_refuse(
        self, bundle: Path, tmp_path: Path, options: dict[str, object], words: str
    ) -> None:
        with pytest.raises(InputError, match=words):
            export_triton(bundle, tmp_path / "models", **options)  # type: ignore[arg-type]
        assert not (tmp_path / "models").exists()

    def test_a_changed_bundle_is_refused(self, write_bundle: Bundles, tmp_path: Path) -> None:
        changed = write_bundle(tmp_path / "bundle")
        (changed / "policy.json").write_text("{}")
        with pytest.raises(InputError, match="refused"):
            export_triton(changed, tmp_path / "models")


class TestCommand:
    @pytest.mark.parametrize("of", ["bundle", "run", "here"])
    def test_a_bundle_a_run_or_the_folder_one_is_in(
        self,
        bundle: Path,
        tmp_path: Path,
        of: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(bundle.parent)
        given = {"bundle": [str(bundle)], "run": [str(bundle.parent)], "here": []}[of]
        assert main(["export", *given, "--triton", str(tmp_path / "models"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["models"] == ["lowres", "full", "routed"]
        assert (tmp_path / "models" / "routed" / "1" / "model.py").is_file()

    @pytest.mark.parametrize("status", [0, 1])
    def test_a_configuration_exports_first(
        self, bundle: Path, tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "run.yaml").touch()
        staged: list[str] = []

        def stage(args: argparse.Namespace) -> int:
            staged.append(args.config)
            return status

        monkeypatch.setattr(export, "_run_folder", lambda args: bundle.parent)
        monkeypatch.setattr(export, "_export", stage)
        said = main(["export", str(tmp_path / "run.yaml"), "--triton", str(tmp_path / "models")])
        assert said == status and staged == [str(tmp_path / "run.yaml")]
        assert (tmp_path / "models").exists() == (status == 0)

    def test_what_cannot_be_exported(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        bundle: Path,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert main(["export", "--triton", "models"]) == 2
        assert "neither a bundle nor a finished run" in capsys.readouterr().err
        for wrong in (
            ["export"],
            ["export", str(bundle), "run.dir=x", "--triton", "models"],
            ["export", str(bundle), "--force", "--triton", "models"],
        ):
            with pytest.raises(SystemExit):
                main(wrong)
        assert list(tmp_path.iterdir()) == []
