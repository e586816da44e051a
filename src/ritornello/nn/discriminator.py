"""Discriminators of spectrograms: is this patch of time and frequency real?

Strided two-dimensional convolutions over log magnitudes, with one more input channel that says how
high in frequency a point lies (a partial at 200 Hz looks unlike one at 8 kHz). Each output value
judges a patch, so that the average over them is a texture loss, not a judgement of the piece.

Axes: (batch, bins, frames) in; (batch, patches) out.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm


class SpectrogramDiscriminator(nn.Module):
    """Scores of overlapping patches of log magnitudes, with the features on the way.

    Args:
        bins: Lowest bins that are looked at.
        width: Channels of the first layer; doubled twice.
    """

    def __init__(self, bins: int, width: int) -> None:
        super().__init__()
        self.bins = bins
        sizes = [
            (2, width, (7, 3), (3, 1)),
            (width, 2 * width, (7, 3), (3, 1)),
            (2 * width, 4 * width, (5, 3), (2, 2)),
            (4 * width, 4 * width, (5, 3), (2, 2)),
        ]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, kernel, stride, padding=(kernel[0] // 2, kernel[1] // 2)))
            for a, b, kernel, stride in sizes
        )
        self.score = weight_norm(nn.Conv2d(4 * width, 1, 3, padding=1))

    def forward(
        self, log_magnitude: Float[Tensor, "batch bins frames"]
    ) -> tuple[Float[Tensor, "batch patches"], list[Tensor]]:
        """Scores, and what every layer saw, for feature matching."""
        image = log_magnitude[:, None, : self.bins]
        height = torch.linspace(-1, 1, image.shape[2], dtype=image.dtype, device=image.device)
        x = torch.cat([image, height[:, None].expand_as(image)], 1)
        features = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.score(x).flatten(1).float(), features


def feature_distance(real: list[Tensor], fake: list[Tensor]) -> Float[Tensor, ""]:
    """Mean absolute difference of features, each layer relative to its size (feature matching)."""
    terms = [
        (a.detach() - b).abs().mean() / a.detach().abs().mean().clamp(min=1e-4)
        for a, b in zip(real, fake, strict=True)
    ]
    return torch.stack([term.float() for term in terms]).mean()
