"""Random transformers for the tests of the compiled steps."""

import torch
from torch import nn

from ritornello.jukebox.code_transformer import CodeModel, CodeTransformer, initialise
from ritornello.jukebox.prior_config import TransformerConfig

PATTERNS = ("row", "column", "previous_row", "summary", "dense", "lyrics", "encoder")


def random_transformer(
    *, symbols=16, lyrics_seen=9, memory_width=6, seed=0, scale=10.0, **sizes
) -> CodeTransformer:
    """A transformer whose logits are spread enough to matter; every weight filled."""
    given = {"width": 24, "heads": 2, "layers": PATTERNS, "blocks": 4, "block_length": 6}
    config = TransformerConfig(**(given | sizes))
    model = CodeTransformer(config, symbols, lyrics_seen=lyrics_seen, memory_width=memory_width)
    init = torch.Generator().manual_seed(seed)
    initialise(model, init)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3, generator=init)
            elif "norm" in name:
                parameter.normal_(1.0, 0.3, generator=init)
            elif parameter.count_nonzero() == 0:
                parameter.normal_(std=0.02, generator=init)
            if parameter.ndim > 1:
                parameter.mul_(scale)
        model.positions.mul_(3)
    return model.eval()


class Codes(CodeModel):
    """A transformer by itself: some symbols of its alphabet are codes."""

    def __init__(self, transformer: CodeTransformer, first_code: int = 0) -> None:
        nn.Module.__init__(self)
        self.transformer, self.first_code = transformer, first_code

    def begin(self, batch=2, *, seed=0, told=True, memory_steps=5):
        """Before the first token: random start, conditions and memory."""
        draw, config = torch.Generator().manual_seed(seed), self.transformer.config
        start = torch.randn(batch, config.width, generator=draw)
        conditions = torch.randn(batch, config.context, config.width, generator=draw)
        self.memory = memory = None
        for block in self.transformer.trunk.blocks:
            if hasattr(block.attention, "key_value"):
                width = block.attention.key_value.in_features
                self.memory = memory = torch.randn(batch, memory_steps, width, generator=draw)
                break
        return self.transformer.initial_state(start, conditions if told else None, memory)
