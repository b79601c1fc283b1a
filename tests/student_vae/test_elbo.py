"""Each term of the ELBO against torch.distributions, and the annealing of the KL weight."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Normal, kl_divergence

from student_vae.elbo import bernoulli_nll, kl_weight, reparameterise
from student_vae.elbo import kl_divergence as kl_term


def test_kl_matches_torch_distributions():
    mean, log_variance = torch.randn(4, 7), torch.randn(4, 7)
    reference = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_term(mean, log_variance), reference)


def test_kl_is_zero_exactly_at_the_prior():
    assert kl_term(torch.zeros(1, 5), torch.zeros(1, 5)).item() == 0.0


def test_bernoulli_nll_matches_torch_distributions_on_binary_images():
    logits = torch.randn(3, 1, 6, 6)
    image = (torch.rand(3, 1, 6, 6) > 0.5).float()
    reference = -Bernoulli(logits=logits).log_prob(image).flatten(1).sum(1)
    torch.testing.assert_close(bernoulli_nll(logits, image), reference)


def test_reparameterised_samples_have_the_posterior_moments():
    mean, log_variance = torch.tensor([[2.0]]), torch.tensor([[-1.0]])
    noise = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0))
    samples = reparameterise(mean, log_variance, noise)
    assert samples.mean().item() == pytest.approx(2.0, abs=0.02)
    assert samples.var().log().item() == pytest.approx(-1.0, abs=0.05)


@settings(deadline=None)
@given(st.integers(0, 99), st.floats(0, 1), st.floats(0, 4))
def test_kl_weight_rises_from_zero_and_never_passes_its_final_value(step, annealing, final):
    now, later = (kl_weight(s, 100, annealing, final) for s in (step, step + 1))
    assert 0 <= now <= later <= final
    if annealing > 0:
        assert kl_weight(0, 100, annealing, final) == 0
    else:
        assert now == final
