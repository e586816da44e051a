"""What a step does to a codebook: begin once, then follow, and place unused codes anew."""

import torch

from ritornello.nn.quantize import EmaCodebook
from ritornello.training.codebooks import learn_codebook
from ritornello.training.distributed import World


def drawn(seed):
    return torch.Generator().manual_seed(seed)


def learn(book, is_begun, queries, seed, revive_below=0.0):
    return learn_codebook(
        book,
        is_begun,
        queries,
        book.nearest(queries),
        drawn(seed),
        World(),
        alpha=0.5,
        revive_below=revive_below,
    )


def test_the_first_step_begins_and_later_ones_follow():
    book, is_begun = EmaCodebook(4, 3), torch.zeros((), dtype=torch.bool)
    queries = torch.randn(2, 9, 3, generator=drawn(0))
    assert learn(book, is_begun, queries, 1) == 0
    assert is_begun
    begun, followed = EmaCodebook(4, 3), EmaCodebook(4, 3)
    begun.begin(queries, drawn(1))
    assert torch.equal(book.vectors, begun.vectors)

    followed.load_state_dict(begun.state_dict())
    followed.follow(queries, begun.nearest(queries), 0.5)
    assert learn(book, is_begun, queries, 2) == 0
    assert torch.equal(book.vectors, followed.vectors)
    assert not torch.equal(book.vectors, begun.vectors)


def test_unused_codes_are_placed_anew_after_the_beginning():
    book, is_begun = EmaCodebook(4, 3), torch.zeros((), dtype=torch.bool)
    queries = torch.ones(1, 5, 3)
    assert learn(book, is_begun, queries, 1, revive_below=0.9) == 0
    # All codes lie where all queries are, and one of them gets every query.
    assert learn(book, is_begun, queries, 2, revive_below=0.9) == 3
