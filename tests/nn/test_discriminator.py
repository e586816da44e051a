"""The spectrogram discriminator: patches, features, and that it can tell."""

import pytest
import torch

from ritornello.nn.discriminator import SpectrogramDiscriminator, feature_distance


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def build(bins=48, width=4):
    discriminator = SpectrogramDiscriminator(bins, width)
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in discriminator.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif name.endswith("original0"):  # the norm of every filter
                parameter.fill_(1.4)
            else:
                parameter.copy_(torch.randn(parameter.shape, generator=draw))
    return discriminator


def test_it_judges_patches_of_the_lowest_bins():
    discriminator = build()
    image = normal(3, 60, 16)
    scores, features = discriminator(image)
    # 48 bins: 16, 6, 3, 2 rows; 16 frames: 16, 16, 8, 4 columns.
    assert scores.shape == (3, 2 * 4)
    assert [one.shape[1:] for one in features] == [(4, 16, 16), (8, 6, 16), (16, 3, 8), (16, 2, 4)]
    above = torch.cat([image[:, :48], normal(3, 12, 16, seed=1)], 1)
    assert torch.equal(discriminator(above)[0], scores)


def test_a_patch_is_no_judgement_of_the_whole():
    discriminator = build().double()
    image = normal(1, 48, 64).double().requires_grad_()
    scores, _ = discriminator(image)
    (gradient,) = torch.autograd.grad(scores.view(2, -1)[0, 0], image)
    frames = gradient[0].abs().sum(0).nonzero().flatten()
    assert 0 < len(frames) < 32


def test_it_knows_how_high_a_point_lies():
    discriminator = build().double()
    flat = torch.zeros(1, 48, 8, dtype=torch.float64)
    _, features = discriminator(flat)
    middle = features[0][0, :, 2:-2, 4]  # away from the padding
    assert (middle[:, 1:] - middle[:, :-1]).abs().min(1).values.max() > 0


def test_scores_are_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores, features = build()(normal(2, 48, 16))
    assert scores.dtype == torch.float32
    assert feature_distance(features, features).dtype == torch.float32


def test_feature_distance_by_hand():
    real = [torch.full((2, 3), 2.0), torch.full((4,), -1.0)]
    fake = [torch.full((2, 3), 3.0), torch.full((4,), -1.0)]
    assert float(feature_distance(real, real)) == 0
    assert float(feature_distance(real, fake)) == pytest.approx((0.5 + 0) / 2)


def test_feature_distance_moves_the_fake_only():
    real, fake = normal(4, 3).requires_grad_(), normal(4, 3, seed=1).requires_grad_()
    feature_distance([real], [fake]).backward()
    assert real.grad is None
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0


def test_it_learns_to_tell_sharp_textures_from_blurred_ones():
    discriminator = build()
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=5e-3)
    draw = torch.Generator().manual_seed(0)
    gaps = []
    for _ in range(40):
        sharp = torch.randn(4, 48, 16, generator=draw)
        blurred = sharp.transpose(1, 2)
        blurred = torch.nn.functional.avg_pool1d(blurred, 5, 1, 2).transpose(1, 2)
        real, fake = discriminator(sharp)[0], discriminator(blurred)[0]
        loss = torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        gaps.append(float((real.mean() - fake.mean()).detach()))
    assert gaps[0] < 0.5
    assert gaps[-1] > 1.0
