"""What this project's small GAN adds to the release's: local scores, and a listener for controls.

A single score per window says that something is wrong, not where, and the release's critic looks
at the full latent rate with one layer only. With a fiftieth of the published training that is too
little for single notes to become sharp, and for a control that changes little of the sound, like
note density, to be followed at all. So here

    LocalCritic      also scores every place of the window, at three finer resolutions;
    ControlListener  hears the controls in latents, learnt on real music, and tells the generator
                     how far what it plays is from what it was asked for.

Deviation: neither is in the paper or its code; both are off in the presets `paper` and `release`.
"""

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ritornello.musika.config import CriticConfig
from ritornello.musika.convolution import HalvingConv, SameConv
from ritornello.musika.model import Critic, Hidden, full_precision
from ritornello.shapes import Latents

LISTENER_WIDTH = 128

Heard = Float[Tensor, "batch controls places"]


class LocalCritic(Critic):
    """The release's critic with three local heads beside the score of the whole window.

    The first is a small critic of its own at the full latent rate: the attack of a note lasts one
    latent. The next two sit after the first two blocks. At 21.5 latent frames a second they judge
    about 0.3, 0.7 and 1.6 seconds of music: attacks, notes, groups of notes.
    """

    def __init__(self, config: CriticConfig) -> None:
        super().__init__(config)
        width = config.base_channels * 5 // 2
        self.attacks = nn.Sequential(
            SameConv(self.channels, width, kernel=3),
            nn.LeakyReLU(0.2),
            SameConv(width, width, kernel=3),
            nn.LeakyReLU(0.2),
            SameConv(width, width, kernel=3),
            nn.LeakyReLU(0.2),
            nn.Linear(width, 1),
        )
        self.local_scores = nn.ModuleList(nn.Linear(width, 1) for width in config.widths[1:3])

    def forward(
        self,
        latents: Latents,
        conditions: Float[Tensor, "batch condition_channels frames"] | None = None,
    ) -> Float[Tensor, "batch heads places"]:
        """Scores of all heads at every place; a head of lower resolution repeats its scores."""
        seen = self.seen(latents, conditions)
        heads: list[Float[Tensor, "batch steps"]] = [self.attacks(seen).squeeze(-1)]
        hidden = self.first_hidden(seen)
        for index, block in enumerate(self.blocks):
            hidden = block(hidden)
            if index < len(self.local_scores):
                heads.append(self.local_scores[index](hidden).squeeze(-1))
        heads.append(self.window_score(hidden)[:, None])
        places = heads[0].shape[1]
        scores = [repeat(s, "b p -> b (p r)", r=places // s.shape[1]) for s in heads]
        return full_precision(torch.stack(scores, dim=1))


class ControlListener(nn.Module):
    """Hears the value of every control in latents, at a quarter of their rate."""

    def __init__(self, latent_dim: int, controls: int) -> None:
        super().__init__()
        width = LISTENER_WIDTH
        self.layers = nn.Sequential(
            HalvingConv(latent_dim, width),
            nn.LeakyReLU(0.2),
            HalvingConv(width, width),
            nn.LeakyReLU(0.2),
            SameConv(width, width, kernel=7),
            nn.LeakyReLU(0.2),
            SameConv(width, width, kernel=7),
            nn.LeakyReLU(0.2),
            nn.Linear(width, controls),
        )

    def forward(self, latents: Latents) -> Heard:
        """Controls heard, in the scale of the conditions."""
        heard: Hidden = self.layers(rearrange(latents, "b c f -> b f c"))
        return full_precision(rearrange(heard, "b p c -> b c p"))


def control_error(
    heard: Heard, conditions: Float[Tensor, "batch condition_channels frames"]
) -> Float[Tensor, ""]:
    """Mean squared distance of what is heard from what was asked, where anything was asked."""
    asked = functional.avg_pool1d(conditions, conditions.shape[-1] // heard.shape[-1])
    values, present = rearrange(asked, "b (controls two) p -> two b controls p", two=2)
    return (present * (heard - values).square()).sum() / present.sum().clamp(min=1)


def followed(
    heard: Heard, conditions: Float[Tensor, "batch condition_channels frames"]
) -> Float[Tensor, " controls"]:
    """Slope of what is heard over what was asked, for every control: 1 is obedience, 0 deafness."""
    asked = functional.avg_pool1d(conditions, conditions.shape[-1] // heard.shape[-1])
    values, present = rearrange(asked, "b (controls two) p -> two controls (b p)", two=2)
    answers = rearrange(heard, "b controls p -> controls (b p)")
    count = present.sum(1).clamp(min=1)
    centred = present * (values - ((present * values).sum(1) / count)[:, None])
    return (centred * answers).sum(1) / centred.square().sum(1).clamp(min=1e-8)
