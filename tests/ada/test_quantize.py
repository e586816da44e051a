"""Bottlenecks in closed form: the losses of equations 1 and 2, the simplex, gradients."""

from math import log

import pytest
import torch

from ritornello.ada.config import QuantiserConfig
from ritornello.ada.quantize import NORMALISER_FLOOR, build_bottleneck

CODES = 4
WEIGHTS = {"beta": 0.5, "nu": 0.3}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def bottleneck(kind, dim=3):
    return build_bottleneck(QuantiserConfig(kind=kind, codes=CODES, dim=dim, **WEIGHTS))


def begun_vq():
    vq = bottleneck("vq")
    vq.codebook.begin(normal(50, 3), torch.Generator().manual_seed(1))
    return vq


def one_hot_queries(size=1e3):
    """Queries that all say code 1, far above what keeps the normaliser finite."""
    queries = torch.zeros(2, 5, CODES)
    queries[..., 1] = size
    return queries


def test_diversity_is_nothing_for_even_use_and_largest_for_one_code():
    """Equation 2 as a sum over codes: (k - 1)^2 of the one code, 1 of each of the k - 1 others."""
    amae = bottleneck("amae")
    assert amae.diversity(torch.full((CODES,), 1 / CODES)).item() == pytest.approx(0)
    assert amae.diversity(torch.eye(CODES)[2]).item() == pytest.approx(CODES * (CODES - 1))
    assert amae.diversity(torch.tensor([0.5, 0.5, 0, 0])).item() == pytest.approx(4)


def test_the_diversity_loss_is_of_the_mean_query_and_weighted():
    amae = bottleneck("amae")
    same = amae(one_hot_queries()).loss.item()
    assert same == pytest.approx(0.3 * CODES * (CODES - 1), rel=1e-4)
    # Every query is one-hot, their mean over batch and frames is uniform.
    every = 1e3 * torch.eye(CODES).view(2, 2, CODES)
    assert amae(every).loss.item() == pytest.approx(0, abs=1e-6)


def test_softmax_diversity_is_the_negative_entropy():
    softmax = bottleneck("softmax_amae")
    assert softmax.diversity(torch.full((CODES,), 1 / CODES)).item() == pytest.approx(-log(CODES))
    assert softmax.diversity(torch.eye(CODES)[2]).item() == 0
    expected = 0.5 * log(0.5) + 2 * 0.25 * log(0.25)
    mean = torch.tensor([0.5, 0.25, 0.25, 0])
    assert softmax.diversity(mean).item() == pytest.approx(expected)
    assert softmax(torch.zeros(2, 5, CODES)).loss.item() == pytest.approx(-0.3 * log(CODES))
    assert softmax(one_hot_queries()).loss.item() == pytest.approx(0)


def test_the_simplex_is_relu_and_division():
    """Footnote 3: what is negative is cut off, and the rest adds up to at most 1."""
    queries = torch.tensor([[[3.0, -2.0, 1.0, 0.0]]])
    expected = torch.tensor([[[3.0, 0.0, 1.0, 0.0]]]) / (4 + NORMALISER_FLOOR)
    amae = bottleneck("amae")
    torch.testing.assert_close(amae.to_simplex(queries), expected)
    many = amae.to_simplex(normal(4, 50, CODES))
    assert many.min() >= 0
    assert many.sum(-1).max() <= 1
    # What is as small as the floor adds up to a half, not to 1.
    small = amae.to_simplex(torch.full((1, 1, CODES), NORMALISER_FLOOR / CODES))
    assert small.sum().item() == pytest.approx(0.5)


def test_a_query_that_is_cut_off_whole_is_nothing_and_has_finite_gradients():
    amae = bottleneck("amae")
    queries = (-normal(2, 5, CODES).abs() - 0.1).requires_grad_()
    assert not amae.to_simplex(queries).any()
    found = amae(queries)
    (found.vectors.sum() + found.loss).backward()
    assert queries.grad.isfinite().all()


def test_softmax_adds_up_to_one():
    simplex = bottleneck("softmax_amae").to_simplex(normal(2, 5, CODES))
    torch.testing.assert_close(simplex.sum(-1), torch.ones(2, 5))


def test_commitment_is_the_weighted_mean_square():
    """Equation 1's last term: towards the vector, which itself stays."""
    vq = begun_vq()
    queries = normal(2, 9, 3, seed=5).requires_grad_()
    found = vq(queries)
    away = queries.detach() - vq.look_up(found.codes)
    assert found.loss.item() == pytest.approx(0.5 * (away**2).sum().item() / (2 * 9 * 3))
    (gradient,) = torch.autograd.grad(found.loss, queries)
    torch.testing.assert_close(gradient, 0.5 * 2 * away / (2 * 9 * 3))


def test_vq_gradients_pass_straight_through():
    vq, factors = begun_vq(), normal(2, 9, 3, seed=6)
    queries = normal(2, 9, 3, seed=5).requires_grad_()
    found = vq(queries)
    torch.testing.assert_close(found.vectors, vq.look_up(found.codes))
    (gradient,) = torch.autograd.grad((factors * found.vectors).sum(), queries)
    torch.testing.assert_close(gradient, factors)


@pytest.mark.parametrize("kind", ["amae", "softmax_amae"])
def test_argmax_vectors_are_one_hot_with_the_gradients_of_the_simplex(kind):
    argmax, factors = bottleneck(kind), normal(2, 9, CODES, seed=6)
    queries = normal(2, 9, CODES, seed=5)
    queries[..., 0].abs_()  # none is cut off whole
    queries.requires_grad_()
    found = argmax(queries)
    assert torch.equal(found.codes, queries.argmax(-1))
    torch.testing.assert_close(found.vectors, torch.eye(CODES)[found.codes])
    torch.testing.assert_close(argmax.look_up(found.codes), torch.eye(CODES)[found.codes])
    (gradient,) = torch.autograd.grad((factors * found.vectors).sum(), queries)
    simplex = argmax.to_simplex(queries)
    (expected,) = torch.autograd.grad((factors * simplex).sum(), queries)
    assert expected.abs().sum() > 0
    torch.testing.assert_close(gradient, expected)
