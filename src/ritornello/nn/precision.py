"""What networks are computed in when no gradient is wanted."""

from contextlib import AbstractContextManager, nullcontext

import torch


def encoding_precision() -> AbstractContextManager[object]:
    """The context to encode in: bfloat16 on processors that multiply matrices in it.

    Encoding a corpus takes half the time so; latents differ by a tenth of the noise they get in
    training, codes where two of them are about equally near.
    """
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities.get("amx_bf16"):
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return nullcontext()
