"""Several processes as one trainer: the few collective operations the loop needs.

Under `torchrun` every process draws its own batches (its rank is part of the seed), gradients are
averaged after the backward pass, and rank 0 alone saves and shows. In one process everything here
is a no-op.
"""

import gc
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes that train together.

    Attributes:
        rank: Number of this process, from 0.
        size: How many processes there are.
        device: Where this process computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this process saves and shows."""
        return self.rank == 0

    def average(self, tensors: list[Tensor]) -> None:
        """Replace `tensors` in place by their means over all processes, in one exchange."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process."""
        if self.size == 1:
            return flag
        value = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return bool(value.item())

    def from_first(self, value: Any) -> Any:
        """Rank 0's `value` (anything JSON can hold) in every process."""
        if self.size == 1:
            return value
        payload = torch.tensor(
            list(json.dumps(value).encode() if self.is_first else b""),
            dtype=torch.uint8,
            device=self.device,
        )
        length = torch.tensor(payload.numel(), device=self.device)
        dist.broadcast(length, src=0)
        if not self.is_first:
            payload = torch.empty(int(length.item()), dtype=torch.uint8, device=self.device)
        dist.broadcast(payload, src=0)
        return json.loads(bytes(payload.tolist()).decode())

    def share(self, tensors: list[Tensor]) -> None:
        """Copy rank 0's `tensors` into every process's."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.data, src=0)

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.size > 1:
            dist.barrier()

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """Rank 0 runs the body alone, then the others, who find its work done."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()


@contextmanager
def joined_world() -> Iterator[World]:
    """The world of this process: alone, or one of `torchrun`'s, left again at the end.

    `torchrun` tells a process its place through the environment; nothing else does.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    cuda = torch.cuda.is_available()
    if size == 1:
        yield World(device=torch.device("cuda" if cuda else "cpu"))
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo")
    world = World(rank=dist.get_rank(), size=size, device=device)
    try:
        yield world
        # Nobody leaves while another still waits for him in an exchange.
        world.wait()
    finally:
        dist.destroy_process_group()
        # The backend's threads end with the last reference to the group. Left to the interpreter's
        # end, a thread that still holds a tensor aborts the process after its work is done.
        gc.collect()
