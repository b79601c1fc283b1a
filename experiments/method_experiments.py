"""The small experiments of docs/method.md: what each term of the ELBO does, and why features and not pixels.

    .venv/bin/python experiments/method_experiments.py OUT --vae RUN --run mtd=RUN --run elpv=RUN

Each RUN is a finished run folder. `--vae`: the run whose images, shrunk to 64 px, a small pixel VAE learns in several
variants, each with one thing changed (a term removed, no annealing, no sampling), over `--seeds` seeds. `--run`: the
runs whose test images are judged by pixels and by features, with and without distillation, and with more or less
routing (`method_features.py`). Training uses a run's training normals; every figure is of its test images.

Writes OUT/method.json, OUT/method.md, and what docs/images/method_*.py draw: OUT/vae.npz, OUT/maps_NAME.npz. Takes some
minutes of processor time.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from method_features import judge_run
from method_tables import markdown
from torch import Tensor

from eval.baselines.pixel_vae import PixelVae
from eval.metrics import image_auroc
from student_vae.elbo import bernoulli_nll, kl_divergence, kl_weight, reparameterise
from training.batches import epoch_batches
from training.schedule import one_cycle
from wafer_data import files
from wafer_data.store import ImageStore

SIZE, LATENT, EPOCHS, BATCH, RATE = 64, 32, 30, 16, 1e-3
ACTIVE = 0.01
"""A latent is in use if its mean varies by more than this over the images (Burda et al. 2016, section 5.2)."""


@dataclass(frozen=True)
class Variant:
    """What is changed.

    Attributes:
        fit: Weight of the reconstruction term.
        kl: Weight of the KL term in the end.
        annealing: Share of the steps over which that weight rises.
        sample: Draw z; otherwise take the mean.
    """

    title: str
    fit: float = 1.0
    kl: float = 1.0
    annealing: float = 0.5
    sample: bool = True


VARIANTS = {
    "elbo": Variant("the ELBO"),
    "no_annealing": Variant("KL in full from the start", annealing=0.0),
    "no_kl": Variant("without the KL term", kl=0.0),
    "no_sampling": Variant("without sampling (z = mean)", sample=False),
    "no_fit": Variant("without the reconstruction term", fit=0.0),
    "heavy": Variant("KL x 30, annealed", kl=30.0),
    "heavy_at_once": Variant("KL x 30 from the start", kl=30.0, annealing=0.0),
}


def small_images(store: ImageStore, indices: np.ndarray) -> Tensor:
    """(N, 1, 64, 64) in [0, 1]."""
    factor = store.size // SIZE
    parts = [
        F.avg_pool2d(torch.from_numpy(store.batch(indices[i : i + 64])), factor)
        for i in range(0, len(indices), 64)
    ]
    return torch.cat(parts)


def train(images: Tensor, variant: Variant, seed: int) -> tuple[PixelVae, list[dict[str, float]]]:
    """The variant's VAE, and figures of `describe` after every third epoch."""
    torch.manual_seed(seed)
    model = PixelVae(SIZE, LATENT)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=1e-4)
    rows = np.arange(len(images))
    steps, step, history = EPOCHS * len(epoch_batches(rows, BATCH, (seed, 0))), 0, []
    for epoch in range(EPOCHS):
        for batch in epoch_batches(rows, BATCH, (seed, epoch)):
            for group in optimiser.param_groups:
                group["lr"] = one_cycle(step, steps, RATE)
            seen = images[batch]
            mean, log_variance = model.encode(seen)
            noise = torch.randn_like(mean) if variant.sample else torch.zeros_like(mean)
            logits = model.decode(reparameterise(mean, log_variance, noise))
            weight = kl_weight(step, steps, variant.annealing, variant.kl)
            loss = variant.fit * bernoulli_nll(logits, seen) + weight * kl_divergence(mean, log_variance)
            optimiser.zero_grad()
            loss.mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 2e4 * (SIZE / 256) ** 2)
            optimiser.step()
            step += 1
        if epoch % 3 == 2:
            history.append({"epoch": epoch + 1.0, **describe(model, images[:64])})
    return model.eval(), history


@torch.inference_mode()
def describe(model: PixelVae, images: Tensor) -> dict[str, float]:
    """What the model makes of images: the two terms, how z is used, how well the mean reconstructs."""
    mean, log_variance = model.encode(images)
    logits = model.decode(mean)
    # binary cross-entropy of grey values cannot reach 0: their own entropy is its floor
    floor = F.binary_cross_entropy(images, images, reduction="none").flatten(1).sum(1)
    return {
        "excess_nats": float((bernoulli_nll(logits, images) - floor).mean()),
        "kl": float(kl_divergence(mean, log_variance).mean()),
        "active": float((mean.var(0) > ACTIVE).sum()),
        "sigma": float((0.5 * log_variance).exp().mean()),
        "aggregate": float((mean.var(0) + log_variance.exp().mean(0)).sqrt().mean()),
        "squared_error": float((torch.sigmoid(logits) - images).square().mean()),
    }


@torch.inference_mode()
def nearest(images: Tensor, among: Tensor) -> float:
    """Mean over images of the squared error a pixel to the most similar one among others."""
    distances = torch.cdist(images.flatten(1), among.flatten(1)).min(1).values
    return float((distances.square() / images[0].numel()).mean())


def ablation(run: Path, seeds: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Figures of every variant, one list entry a seed; and pictures of the first seed."""
    store = ImageStore.open(run / "data")
    normals = small_images(store, store.indices("train", 0))
    test = store.indices("test")
    labels = np.array([store.records[i].label for i in test])
    images = small_images(store, test)
    good = images[torch.from_numpy(labels == 0)]
    shown = torch.cat([good[:3], images[torch.from_numpy(labels == 1)][:3]])
    figures: dict[str, Any] = {"data": store.name, "train": len(normals), "variants": {}}
    pictures = {"shown": shown[:, 0].numpy()}
    for name, variant in VARIANTS.items():
        rows = []
        for seed in range(seeds):
            model, history = train(normals, variant, seed)
            row = describe(model, good)
            with torch.inference_mode():
                error = (
                    (torch.sigmoid(model.decode(model.encode(images)[0])) - images).square().mean((1, 2, 3))
                )
                drawn = torch.sigmoid(
                    model.decode(torch.randn(200, LATENT, generator=torch.Generator().manual_seed(0)))
                )
                again = torch.sigmoid(model.decode(model.encode(shown)[0]))
            row |= {
                "image_auroc": image_auroc(labels, error.numpy()),
                "samples_nearest": nearest(drawn, normals),
            }
            rows.append(row | {"history": history})
            if seed == 0:
                pictures |= {f"{name}_again": again[:, 0].numpy(), f"{name}_drawn": drawn[:6, 0].numpy()}
            if name == "elbo" and seed == 0:
                figures["gradients"] = gradient_noise(model, good[:8])
        figures["variants"][name] = {"title": variant.title, "seeds": rows}
        print(f"{variant.title}: " + ", ".join(f"{k} {v:.4g}" for k, v in rows[0].items() if k != "history"))
    figures["real_nearest"] = nearest(good, normals)
    return figures, pictures


def gradient_noise(model: PixelVae, images: Tensor, draws: int = 500) -> dict[str, float]:
    """How noisy one draw's gradient of E[-log p(x|z)] for the mean of q is: through z, and by the score function.

    Both estimate the same gradient (`agreement` is the cosine of their averages). `pathwise`, `score` and
    `score_centred` (with the mean loss as baseline) are standard deviations of one draw, in units of the gradient's
    size.
    """
    with torch.no_grad():
        mean, log_variance = model.encode(images)
    sigma = (0.5 * log_variance).exp()
    generator = torch.Generator().manual_seed(0)
    through, scores, losses = [], [], []
    for _ in range(draws):
        noise = torch.randn(mean.shape, generator=generator)
        leaf = mean.clone().requires_grad_()
        loss = bernoulli_nll(model.decode(leaf + sigma * noise), images)
        through.append(torch.autograd.grad(loss.sum(), leaf)[0])
        scores.append(noise / sigma)
        losses.append(loss.detach())
    paths, score, loss = torch.stack(through), torch.stack(scores), torch.stack(losses)[:, :, None]
    plain, centred = loss * score, (loss - loss.mean(0)) * score
    size = paths.mean(0).square().sum(1).sqrt()

    def noise_of(estimates: Tensor) -> float:
        return float((estimates.var(0).sum(1).sqrt() / size).mean())

    agreement = F.cosine_similarity(paths.mean(0).flatten(), centred.mean(0).flatten(), dim=0)
    return {
        "pathwise": noise_of(paths),
        "score": noise_of(plain),
        "score_centred": noise_of(centred),
        "agreement": float(agreement),
        "draws": draws,
    }


def main() -> None:
    """Run both parts and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--vae", type=Path, help="a finished run")
    parser.add_argument("--run", action="append", default=[], help="NAME=RUN, a finished run")
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "method.json"
    found: dict[str, Any] = files.read_json(path) if path.is_file() else {}
    if args.vae:
        found["vae"], pictures = ablation(args.vae, args.seeds)
        np.savez_compressed(args.out / "vae.npz", **pictures)
    for name, _, run in (text.partition("=") for text in args.run):
        figures, maps = judge_run(Path(run))
        found.setdefault("runs", {})[name] = figures
        np.savez_compressed(args.out / f"maps_{name}.npz", **maps)
    files.write_json(path, found)
    files.write_text(args.out / "method.md", markdown(found))
    print((args.out / "method.md").read_text())


if __name__ == "__main__":
    main()
