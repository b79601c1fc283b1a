"""Exported graphs against PyTorch: same scores, same maps, same decisions; the same bytes each time."""

import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from router.policy import RoutingPolicy
from student_vae import LikelihoodConfig, StudentConfig, StudentVAE, load_student
from tool_side import Inspector
from tool_side.export import export_bundle
from tool_side.graph import decoder_graph, fold, scoring_graph
from wafer_data.errors import InputError
from wafer_data.store import ImageStore


def random_student(size: int, side: int, **likelihood) -> StudentVAE:
    torch.manual_seed(size + side)
    config = StudentConfig(
        input_size=size, map_size=side, width=0.5, likelihood=LikelihoodConfig(**likelihood)
    )
    student = StudentVAE(config, 12, 10)
    student.train()
    with torch.no_grad():
        student.score(torch.rand(8, 1, 256, 256))  # gives batch normalisation statistics of its own
    for buffer in student.likelihood.buffers():
        buffer.copy_(torch.randn_like(buffer) * 0.3)
    return student.eval()


@pytest.mark.parametrize(
    ("size", "side", "likelihood"),
    [
        (256, 32, {}),
        (128, 32, {"mean_grid": 8, "covariance_block": 4}),
        (64, 16, {"mean_grid": 4, "covariance_block": 1, "latent_grid": 2}),
        (256, 16, {"mean_grid": 16, "covariance_block": 16}),
    ],
)
@pytest.mark.parametrize("batch", [1, 5])
def test_graph_and_pytorch_agree(size, side, likelihood, batch):
    student = random_student(size, side, **likelihood)
    session = ort.InferenceSession(scoring_graph(student).SerializeToString())
    images = torch.rand(batch, 1, 256, 256)
    with torch.no_grad():
        expected = student.score(images)
    for ours, theirs in zip(session.run(None, {"image": images.numpy()}), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_decoder_graph_and_pytorch_agree():
    student = random_student(256, 32)
    assert student.decoder is not None
    session = ort.InferenceSession(decoder_graph(student.decoder, 10).SerializeToString())
    latent = torch.randn(3, 10)
    (image,) = session.run(None, {"latent": latent.numpy()})
    np.testing.assert_allclose(image, student.reconstruct(latent).numpy(), atol=1e-5)


def test_folding_changes_nothing_but_the_number_of_layers():
    conv, norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
    norm.train()(torch.randn(16, 4, 5, 5) * 3 + 1)
    x = torch.randn(2, 3, 7, 7)
    weight, bias = fold(conv, norm.eval())
    with torch.no_grad():
        torch.testing.assert_close(nn.functional.conv2d(x, weight, bias), norm(conv(x)), rtol=1e-4, atol=1e-5)


def test_no_threshold_is_in_the_graph(tiny_run, tmp_path):
    export_bundle(tiny_run, tmp_path / "bundle")
    policy = json.loads((tmp_path / "bundle" / "policy.json").read_text())
    model = onnx.load(tmp_path / "bundle" / "full.onnx")
    constants = np.concatenate([onnx.numpy_helper.to_array(c).ravel() for c in model.graph.initializer])
    for name in ("escalate_above", "review_above"):
        assert not np.isclose(constants, policy[name], rtol=1e-7, atol=0).any()
    assert not {n.op_type for n in model.graph.node} & {"Less", "Greater", "Where", "If"}


def test_runtime_and_pytorch_decide_alike_on_every_test_image(tiny_run, tmp_path):
    export_bundle(tiny_run, tmp_path / "bundle")
    inspector = Inspector(tmp_path / "bundle")
    store = ImageStore.open(tiny_run / "data")
    policy = RoutingPolicy.from_dict(json.loads((tiny_run / "router" / "policy.json").read_text()))
    indices = store.indices("test")
    images = torch.from_numpy(store.batch(indices))
    with torch.no_grad():
        low, full = (load_student(tiny_run / n).score(images).score.numpy() for n in ("lowres", "full"))
    escalated = policy.escalate(low)
    routed = policy.routed_score(low, np.where(escalated, full, np.nan))
    decisions = policy.decide(routed, escalated)
    for i, index in enumerate(indices):
        found = inspector.inspect(store.records[int(index)].path)
        assert found.lowres_score == pytest.approx(low[i], rel=1e-4)
        if found.route != "none":  # the quality gate may refuse an image before any model sees it
            assert found.route == ("full" if escalated[i] else "lowres")
            assert found.decision == decisions[i]


def test_the_same_run_gives_the_same_bundle(tiny_run, tmp_path):
    for name in ("one", "two"):
        export_bundle(tiny_run, tmp_path / name)
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert "manifest.json" in files and "full_decoder.onnx" in files
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


@pytest.mark.parametrize("missing", ["lowres", "full", "router"])
def test_an_unfinished_run_is_not_exported(tiny_run, tmp_path, missing):
    import shutil

    shutil.copytree(tiny_run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / missing)
    with pytest.raises(InputError, match=missing):
        export_bundle(tmp_path / "run", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
