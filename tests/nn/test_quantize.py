"""The codebook follows its queries by known amounts; gradients pass straight through."""

import pytest
import torch

from ritornello.nn.quantize import EmaCodebook, tensors_to_save


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def begun(codes=4, dim=3):
    book = EmaCodebook(codes, dim)
    book.begin(normal(50, dim), torch.Generator().manual_seed(1))
    return book


def test_codes_begin_on_queries():
    queries = normal(2, 25, 3)
    book = EmaCodebook(4, 3)
    book.begin(queries, torch.Generator().manual_seed(0))
    flat = queries.flatten(0, 1)
    assert all((flat == vector).all(-1).any() for vector in book.vectors)


def test_the_nearest_is_nearest():
    book, queries = begun(), normal(2, 9, 3, seed=5)
    expected = torch.cdist(queries, book.vectors.expand(2, -1, -1)).argmin(-1)
    assert torch.equal(book.nearest(queries), expected)
    torch.testing.assert_close(book(queries).vectors, book.look_up(expected))


def test_gradients_pass_straight_through_and_commit():
    book = begun()
    queries = normal(2, 9, 3, seed=5).requires_grad_()
    found = book(queries)
    (3 * found.vectors).sum().backward()
    assert torch.equal(queries.grad, torch.full_like(queries, 3))
    (gradient,) = torch.autograd.grad(book(queries).commitment, queries)
    expected = 2 * (queries - book.look_up(found.codes)) / queries.numel()
    torch.testing.assert_close(gradient, expected.detach())


def test_codes_follow_at_the_update_rate():
    book = EmaCodebook(2, 1)
    book.sums.copy_(torch.tensor([[0.0], [10.0]]))
    queries = torch.tensor([[[1.0], [2.0], [3.0], [9.0]]])
    book.follow(queries, book.nearest(queries), alpha=0.5)
    # counts (1 + 3) / 2 and (1 + 1) / 2; sums (0 + 6) / 2 and (10 + 9) / 2
    assert book.vectors.flatten().tolist() == pytest.approx([1.5, 9.5])


def test_many_updates_end_at_the_means():
    book = begun(codes=2, dim=1)
    queries = torch.cat([normal(1, 200, 1) - 5, normal(1, 200, 1, seed=1) + 5], 1)
    book.begin(torch.tensor([[[-1.0], [1.0]]]), torch.Generator().manual_seed(3))
    book.sums.copy_(torch.tensor([[-1.0], [1.0]]))
    for _ in range(200):
        book.follow(queries, book.nearest(queries), alpha=0.1)
    means = [queries[:, :200].mean().item(), queries[:, 200:].mean().item()]
    assert book.vectors.flatten().tolist() == pytest.approx(means, abs=1e-3)


def test_unused_codes_are_revived_on_queries():
    book, queries = begun(), normal(1, 30, 3, seed=7)
    book.counts.copy_(torch.tensor([10.0, 0.01, 10.0, 10.0]))
    kept = book.vectors.clone()
    assert book.revive(queries, torch.Generator().manual_seed(0), below=0.1) == 1
    assert (queries == book.vectors[1]).all(-1).any()
    torch.testing.assert_close(book.vectors[[0, 2, 3]], kept[[0, 2, 3]])
    assert book.revive(queries, torch.Generator().manual_seed(0), below=0.1) == 0


@pytest.mark.parametrize("alpha", [0.01, 1.0])
def test_a_code_that_is_never_used_keeps_its_place(alpha):
    book = EmaCodebook(2, 2)
    book.sums.copy_(torch.tensor([[1.0, 1.0], [-9.0, -9.0]]))
    queries = torch.ones(1, 8, 2)
    for _ in range(1500):
        book.follow(queries, book.nearest(queries), alpha)
    assert book.vectors[1].tolist() == pytest.approx([-9, -9], rel=1e-4)


def test_what_is_saved_are_the_same_codes_with_counts_of_one():
    inner = torch.nn.ModuleDict({"book": begun(), "other": torch.nn.Linear(2, 2)})
    inner["book"].counts.mul_(7e5)
    inner["book"].sums.mul_(7e5)
    tensors = tensors_to_save(inner)
    assert tensors.keys() == inner.state_dict().keys()
    assert torch.equal(tensors["book.counts"], torch.ones(4))
    torch.testing.assert_close(tensors["book.sums"], inner["book"].vectors)
    assert torch.equal(tensors["other.weight"], inner["other"].weight)
    assert tensors_to_save(begun(8)).keys() == {"counts", "sums"}
