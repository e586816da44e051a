"""Local scores and the listener: what each head sees, and what obedience means."""

import pytest
import torch

from ritornello.musika.config import CriticConfig
from ritornello.musika.local_critic import ControlListener, LocalCritic, control_error, followed
from ritornello.musika.model import initialise, r1_penalty

SIZES = CriticConfig(latent_dim=6, condition_channels=2, window_frames=64, base_channels=4)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def critic():
    critic = LocalCritic(SIZES)
    initialise(critic, torch.Generator().manual_seed(0))
    return critic


def seen_from(critic, head, place):
    latents = normal(1, 6, 64).requires_grad_()
    critic(latents, normal(1, 2, 64, seed=1))[0, head, place].backward()
    frames = latents.grad[0].abs().sum(0).nonzero().flatten()
    return int(frames.min()), int(frames.max())


def test_heads_see_more_and_more(critic):
    scores = critic(normal(3, 6, 64), normal(3, 2, 64))
    assert scores.shape == (3, 4, 64)
    spans = [seen_from(critic, head, 32) for head in range(4)]
    assert spans[0] == (29, 35)
    widths = [high - low + 1 for low, high in spans]
    assert widths == sorted(set(widths))
    assert widths[-1] == 64
    assert all(low <= 32 <= high for low, high in spans)


def test_a_coarse_head_repeats_its_scores(critic):
    scores = critic(normal(2, 6, 64), normal(2, 2, 64))
    assert torch.equal(scores[:, 1, 0::4], scores[:, 1, 3::4])
    assert (scores[:, 3] == scores[:, 3, :1]).all()
    assert not torch.equal(scores[:, 0, 0::2], scores[:, 0, 1::2])


def test_the_penalty_is_that_of_the_mean_score(critic):
    real = normal(2, 6, 64).requires_grad_()
    conditions = normal(2, 2, 64)
    (gradient,) = torch.autograd.grad(critic(real, conditions).mean((1, 2)).sum(), real)
    expected = gradient.square().sum((1, 2)).mean()
    assert r1_penalty(critic(real, conditions), real).item() == pytest.approx(expected.item())


def test_the_error_counts_only_what_was_asked():
    conditions = torch.zeros(2, 4, 64)
    conditions[0, 0], conditions[0, 1] = 0.5, 1.0
    heard = torch.full((2, 2, 16), 0.9)
    assert control_error(heard, conditions).item() == pytest.approx(0.16)
    assert control_error(heard, torch.zeros_like(conditions)).item() == 0


def test_slopes_tell_obedience_from_deafness():
    asked = torch.zeros(8, 4, 64)
    asked[:, 0::2] = torch.rand(8, 2, 1, generator=torch.Generator().manual_seed(0))
    asked[:, 1::2] = 1
    heard = torch.stack([0.2 + 0.8 * asked[:, 0, ::4], torch.full((8, 16), 0.3)], dim=1)
    assert followed(heard, asked).tolist() == pytest.approx([0.8, 0.0], abs=1e-5)


def test_a_listener_learns_to_hear():
    listener = ControlListener(6, 1)
    initialise(listener, torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(listener.parameters(), lr=2e-3)
    for step in range(60):
        value = torch.rand(16, 1, 1, generator=torch.Generator().manual_seed(step))
        latents = value * normal(16, 6, 64, seed=1000 + step)
        conditions = torch.cat([value, torch.ones_like(value)], 1).expand(-1, -1, 64)
        error = control_error(listener(latents), conditions)
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    assert followed(listener(latents), conditions).item() > 0.6
