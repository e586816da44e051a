"""Residual quantisation: levels take what is left, gradients pass, codebooks follow."""

import pytest
import torch

from ritornello.encodec.rvq import ResidualQuantiser
from ritornello.training.distributed import World
from tests.encodec.codecs import drawn, noise, tiny


@pytest.fixture
def begun():
    codec = drawn()
    queries = codec.network.queries(codec.network.fast(noise(480, seed=3)))
    return codec.network.quantizer, queries


def test_every_level_takes_the_nearest_of_what_is_left(begun):
    quantiser, queries = begun
    found, residual = quantiser(queries), queries.clone()
    for level, book in enumerate(quantiser.books):
        torch.testing.assert_close(found.residuals[level], residual)
        distances = (residual[..., None, :] - book.vectors).square().sum(-1)
        assert torch.equal(found.codes[:, level], distances.argmin(-1))
        residual = residual - book.vectors[found.codes[:, level]]
    torch.testing.assert_close(found.vectors, queries - residual)
    torch.testing.assert_close(quantiser.look_up(found.codes), queries - residual)


def test_every_level_brings_it_nearer(begun):
    quantiser, queries = begun
    codes = quantiser.encode(queries)
    errors = [
        float((quantiser.look_up(codes[:, :levels]) - queries).square().mean())
        for levels in (1, 2, 3)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.7 * errors[0]


def test_gradients_pass_straight_through_and_commit(begun):
    quantiser, queries = begun
    queries = queries.clone().requires_grad_()
    weights = torch.randn(queries.shape, generator=torch.Generator().manual_seed(1))
    found = quantiser(queries)
    (through,) = torch.autograd.grad((found.vectors * weights).sum(), queries, retain_graph=True)
    torch.testing.assert_close(through, weights)
    (pulled,) = torch.autograd.grad(found.commitment, queries)
    left = [
        residual - book.look_up(found.codes[:, level])
        for level, (residual, book) in enumerate(zip(found.residuals, quantiser.books, strict=True))
    ]
    wanted = 2 * torch.stack(left).sum(0) / (3 * queries.numel())
    torch.testing.assert_close(pulled, wanted.detach())


def test_codebooks_begin_on_their_residuals_then_follow_and_are_all_used():
    quantiser = ResidualQuantiser(tiny(ema_decay=0.5))
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(16, 4, generator=draw)
    errors = []
    for _ in range(30):
        chosen = torch.randint(16, (4, 50), generator=draw)
        queries = centres[chosen] + 0.05 * torch.randn(4, 50, 4, generator=draw)
        found = quantiser(queries)
        errors.append(float((found.vectors - queries).square().mean()))
        quantiser.learn(found, draw, World())
    assert quantiser.is_begun.all()
    assert errors[-1] < 0.05 * errors[0]
    assert [len(found.codes[:, level].unique()) for level in range(3)] == [16, 16, 16]
