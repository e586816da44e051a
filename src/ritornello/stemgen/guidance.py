"""Classifier-free guidance by two sources, the mix that is heard and the stem asked for.

    l_ai    log p(token | mix, stem)      l_a   log p(token | mix)
    l_i     log p(token | stem)           l_0   log p(token)

    product   w_a l_a + w_i l_i + (1 - w_a - w_i) l_0      section 2.3: sources taken as independent
    joint     w_a l_ai + (1 - w_a) l_0                     one weight on both together
    nested    l_0 + w_a (l_a - l_0) + w_i (l_ai - l_a)     the stem given the mix

Deviation: the paper has the product alone. It never looks at both sources together and lets l_0 in
with a large negative weight (-5 at its weights of 3), which a small network does not bear; joint
and nested are ours to choose. A second deviation is that weights may be annealed with the mask
rate, `w = m w + (1 - m)`, so that the last tokens of a level are drawn as they are: too much
guidance ends in silence.

All forms are sums of log-probabilities with coefficients that add up to 1, so that each is two
numbers, which rows of the batch and how much of each.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from ritornello.stemgen.combiner import Conditions
from ritornello.stemgen.config import GuidanceConfig

Source = Literal["both", "context", "stem", "none"]
Weight = Float[Tensor, " tokens"]
LogP = Float[Tensor, "tokens codes"]


class Form(Protocol):
    """One way to combine; coefficients by source, for weights of context and stem."""

    def __call__(self, context: Weight, stem: Weight) -> dict[Source, Weight]:
        """Coefficients of the rows, which add up to 1 for every token."""
        ...


def product(context: Weight, stem: Weight) -> dict[Source, Weight]:
    """The paper's (section 2.3)."""
    return {"context": context, "stem": stem, "none": 1 - context - stem}


def joint(context: Weight, stem: Weight) -> dict[Source, Weight]:
    """Both sources as one, weighted as the context."""
    return {"both": context, "none": 1 - context}


def nested(context: Weight, stem: Weight) -> dict[Source, Weight]:
    """The context first, then the stem on top of it."""
    return {"both": stem, "context": context - stem, "none": 1 - context}


FORMS: dict[str, Form] = {"product": product, "joint": joint, "nested": nested}


@dataclass(frozen=True)
class Guidance:
    """A form with its weights.

    Attributes:
        config: Form, weights, annealing.
    """

    config: GuidanceConfig

    def coefficients(self, mask_rate: Weight) -> dict[Source, Weight]:
        """Of every source, for tokens in windows of which a share `mask_rate` is hidden."""
        config = self.config
        left = mask_rate if config.anneal else torch.ones_like(mask_rate)
        weights = (left * one + (1 - left) for one in (config.context, config.stem))
        return FORMS[config.kind](*weights)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The rows that are needed; a forward computes all of them at once.

        A coefficient is linear in the mask rate, so that it is 0 always if it is so at both ends.
        """
        ends = self.coefficients(torch.tensor([0.0, 1.0]))
        return tuple(source for source, found in ends.items() if bool(found.any()))

    def told(self, conditions: Conditions) -> Conditions:
        """What the rows are told, source after source."""
        told = {
            "both": conditions,
            "context": conditions.without_stem(),
            "stem": conditions.without_context(),
            "none": conditions.without_all(),
        }
        return Conditions.cat([told[source] for source in self.sources])

    def combined(self, log_p: Float[Tensor, "sources tokens codes"], mask_rate: Weight) -> LogP:
        """Guided log-probabilities, normalised.

        Args:
            log_p: Log-softmax of the rows, in the order of `sources`.
            mask_rate: Share of what was asked for in every token's window that is left, in (0, 1].
        """
        found = self.coefficients(mask_rate)
        scales = torch.stack([found[source] for source in self.sources])
        return (scales[..., None] * log_p).sum(0).log_softmax(-1)
