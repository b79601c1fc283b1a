"""Exported graphs against PyTorch: same scores, same maps, same decisions; the same bytes each time."""

import json
import shutil

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from likelihood import LevelConfig, LikelihoodConfig
from likelihood.answers import Answers
from router.policy import RoutingPolicy
from student_vae import StudentConfig, StudentVAE, load_student
from tool_side import Inspector, load_bundle
from tool_side.export.graph import decoder_graph, scoring_graph
from tool_side.export.graph_builder import fold
from tool_side.export.write import export_bundle
from tool_side.runtime.session import StudentGraph
from wafer_data.errors import InputError
from wafer_data.imaging.levels import Levels
from wafer_data.store import ImageStore

COARSE = LevelConfig()
CHANNELS, LATENT = 12, 10


def random_student(
    size: int,
    side: int,
    *,
    has_head: bool = False,
    prototypes: int = 0,
    block: str = "residual",
    answers: dict[str, float] | None = None,
    **likelihood,
) -> StudentVAE:
    """Every weight and table at random; spreads stay positive."""
    torch.manual_seed(size + side)
    values = {"levels": [COARSE, LevelConfig(grid=side, mean_grid=8, covariance_block=2)], **likelihood}
    config = StudentConfig(
        input_size=size, map_size=side, width=0.5, block=block, likelihood=LikelihoodConfig(**values)
    )
    asked = Answers(answers) if answers else None
    student = StudentVAE(config, CHANNELS, LATENT, has_head=has_head, prototypes=prototypes, answers=asked)
    student.train()
    with torch.no_grad():
        student.score(torch.rand(8, 1, 256, 256))  # gives batch normalisation statistics of its own
    for name, buffer in student.likelihood.named_buffers():
        buffer.copy_(torch.rand_like(buffer) + 0.5 if "spread" in name else torch.randn_like(buffer) * 0.3)
    return student.eval()


def in_onnxruntime(student: StudentVAE, images: torch.Tensor) -> list[np.ndarray]:
    session = ort.InferenceSession(scoring_graph(student).SerializeToString())
    return session.run(None, {"image": images.numpy()})


PLACED = {"place": 0.4, "context": 0.35, "painted": 0.25}
FREE = {"place": 0.0, "context": 0.6, "painted": 0.4}

VARIANTS = {
    "answers beside the likelihood": (256, 32, {"answers": PLACED, "prototypes": 9}),
    "answers alone": (256, 32, {"answers": FREE}),
    "answers, labelled defects": (128, 16, {"answers": FREE, "has_head": True}),
    "answers on a finer map than any level's": (256, 32, {"answers": PLACED, "levels": [COARSE]}),
    "default": (256, 32, {"levels": LikelihoodConfig().levels}),
    "levels finer than the map": (64, 16, {"levels": LikelihoodConfig().levels}),
    "one level, tied": (128, 16, {"latent_directions": None, "levels": [COARSE]}),
    "one level, untied": (128, 16, {"latent_directions": 3, "levels": [COARSE]}),
    "one full-size level in one block": (256, 16, {"levels": [LevelConfig(grid=16, covariance_block=16)]}),
    "one cell": (64, 8, {"latent_grid": 1, "levels": [LevelConfig(grid=1, mean_grid=1)], "map_smoothing": 1}),
    "tied to few directions": (
        64,
        16,
        {
            "latent_grid": 4,
            "latent_directions": 5,
            "levels": [LevelConfig(grid=4, mean_grid=4, directions=5)],
        },
    ),
    "coarse means": (
        64,
        32,
        {"latent_grid": 2, "levels": [COARSE, LevelConfig(grid=32, mean_grid=4, covariance_block=16)]},
    ),
    "more coordinates than the latent": (256, 32, {"latent": 6, "levels": LikelihoodConfig().levels}),
    "a mean that follows from a tied level": (
        64,
        16,
        {"latent_grid": 8, "latent_directions": None, "levels": LikelihoodConfig().levels},
    ),
    "head": (128, 16, {"has_head": True}),
    "prototypes": (256, 32, {"prototypes": 20, "levels": LikelihoodConfig().levels}),
    "prototypes on the map's own grid": (
        64,
        16,
        {"prototypes": 3, "has_head": True, "levels": [LevelConfig(grid=16, directions=5), COARSE]},
    ),
    "inverted blocks": (128, 16, {"block": "inverted"}),
    "a fine level of one direction": (
        128,
        16,
        {"levels": [COARSE, LevelConfig(grid=16, mean_grid=16, directions=1)]},
    ),
    "head on few directions of a coarse level": (
        64,
        16,
        {"has_head": True, "levels": [LevelConfig(grid=4, mean_grid=2, directions=7), LevelConfig(grid=16)]},
    ),
    "levels that are not scored": (
        64,
        16,
        {
            "levels": [
                LevelConfig(grid=8, covariance_block=4),
                LevelConfig(grid=4, mean_grid=4, scored=False),
                LevelConfig(grid=16, mean_grid=16, directions=2),
                LevelConfig(grid=2, mean_grid=1, covariance_block=2, scored=False),
            ],
            "map_smoothing": 3,
        },
    ),
}


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("variant", VARIANTS)
def test_graph_and_pytorch_agree(variant, batch):
    size, side, settings = VARIANTS[variant]
    student = random_student(size, side, **settings)
    images = torch.rand(batch, 1, 256, 256)
    with torch.no_grad():
        expected = student.score(images)
    found = in_onnxruntime(student, images)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))
    # whatever the threshold between two images is, both sides decide alike
    assert (np.argsort(found[0]) == expected.score.numpy().argsort()).all()


def test_an_image_has_the_same_scores_alone_and_among_others():
    student, images = random_student(64, 16, has_head=True), torch.rand(4, 1, 256, 256)
    together = in_onnxruntime(student, images)
    alone = [in_onnxruntime(student, image[None]) for image in images]
    for i, output in enumerate(together):
        np.testing.assert_allclose(np.concatenate([one[i] for one in alone]), output, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("factor", [30.0, 1e3, 1e10])
def test_a_score_far_beyond_all_normals_does_not_overflow(factor):
    student = random_student(64, 16)
    student.likelihood.level_spread.mul_(1 / factor)
    student.likelihood.level_centre.zero_()
    images = torch.rand(3, 1, 256, 256)
    with torch.no_grad():
        expected = student.score(images).score.numpy()
    (score, _, _) = in_onnxruntime(student, images)
    assert np.isfinite(score).all() and (score > 100).all()
    np.testing.assert_allclose(np.log(score), np.log(expected), rtol=1e-4)


def test_a_head_only_raises_the_score():
    with_head = random_student(64, 16, has_head=True)
    images = torch.rand(8, 1, 256, 256)
    scores = []
    for weight in (with_head.likelihood.head.weight.clone(), torch.zeros(7 * CHANNELS)):
        with_head.likelihood.head.weight.copy_(weight)
        with_head.likelihood.head.bias.zero_()
        scores.append(in_onnxruntime(with_head, images))
    assert (scores[0][0] >= scores[1][0]).all()
    np.testing.assert_array_equal(scores[0][1], scores[1][1])


@pytest.mark.parametrize("block", ["residual", "inverted"])
def test_the_trunks_activations_are_given_where_they_are_asked_for(block):
    student, image = random_student(128, 16, block=block), torch.rand(2, 1, 256, 256)
    with_cells = scoring_graph(student, cells=True).SerializeToString()
    session = ort.InferenceSession(with_cells)
    found = dict(
        zip(
            [one.name for one in session.get_outputs()],
            session.run(None, {"image": image.numpy()}),
            strict=True,
        )
    )
    with torch.no_grad():
        fine = student.trunk.fine(student.trunk.stem(student.prepare(image)))
        deep = student.trunk.deep(student.trunk.down(fine))
    np.testing.assert_allclose(found["fine"], fine, atol=1e-4)
    np.testing.assert_allclose(found["deep"], deep, atol=1e-4)
    for one, other in zip(
        in_onnxruntime(student, image), (found[n] for n in ("score", "map", "latent")), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    one, two = image[0, 0].numpy(), StudentGraph("full", with_cells, 1, cells=True)
    assert [cell.shape[0] for cell in two(one).cells] == list(student.trunk.branch_channels)
    assert StudentGraph("full", with_cells, 1)(one).cells == ()


def test_decoder_graph_and_pytorch_agree():
    student = random_student(256, 32)
    assert student.decoder is not None
    session = ort.InferenceSession(decoder_graph(student.decoder, LATENT).SerializeToString())
    latent = torch.randn(3, LATENT)
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
    """Another policy changes no graph, and no graph compares anything."""
    shutil.copytree(tiny_run, tmp_path / "run")
    path = tmp_path / "run" / "router" / "policy.json"
    policy = json.loads(path.read_text())
    numbers = {k: v + 0.1 for k, v in policy.items() if isinstance(v, float) and k != "full_weight"}
    path.write_text(json.dumps(policy | numbers))
    export_bundle(tiny_run, tmp_path / "one")
    export_bundle(tmp_path / "run", tmp_path / "other")
    assert (tmp_path / "one/policy.json").read_bytes() != (tmp_path / "other/policy.json").read_bytes()
    for graph in (tmp_path / "one").glob("*.onnx"):
        assert graph.read_bytes() == (tmp_path / "other" / graph.name).read_bytes()
        nodes = {node.op_type for node in onnx.load(graph).graph.node}
        assert not nodes & {"Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Equal", "Where", "If"}


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


def test_the_grey_levels_of_the_data_travel_with_the_bundle(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    path = tmp_path / "run" / "data" / "split.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"levels": {"black": 0.01, "white": 0.07}}))
    for run, levels in ((tiny_run, Levels()), (tmp_path / "run", Levels(0.01, 0.07))):
        export_bundle(run, tmp_path / "bundle")
        assert load_bundle(tmp_path / "bundle").preprocessing.levels == levels


@pytest.mark.parametrize("missing", ["lowres", "full", "router"])
def test_an_unfinished_run_is_not_exported(tiny_run, tmp_path, missing):
    shutil.copytree(tiny_run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / missing)
    with pytest.raises(InputError, match=missing):
        export_bundle(tmp_path / "run", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
