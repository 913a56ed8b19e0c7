"""Several processes that train one network together, started by torchrun; usually there is one.

Every process draws the crops of the whole step, which are a pure function of its number, and takes
its share of them; gradients, the counts that means are taken over, and the statistics of batch norm
are added up.  So a step is the same whatever the number of processes.  Process 0 alone writes and
decides; the others ask it.
"""

from __future__ import annotations

import inspect
import os
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from napari_threestage.errors import ConfigError
from napari_threestage.training.shared_norm import share_batch_norm, sum_over_processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# torch gave this option another name.
BUFFERS = "forward_sync_buffers"
if BUFFERS not in inspect.signature(DistributedDataParallel).parameters:
    BUFFERS = "broadcast_buffers"
PATIENCE = timedelta(days=30)  # process 0 may be paused while the others wait


class Workers:
    """One process of those that train together; here, it is alone.

    Attributes
    ----------
    rank
        Number of this process; 0 writes.
    count
        How many there are.
    """

    rank = 0
    count = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and decides."""
        return self.rank == 0

    def share(self, crops: int) -> Tensor:
        """Return the places of this process's crops in a step; a process may have none of L."""
        return torch.arange(crops).tensor_split(self.count)[self.rank]

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network such that the gradients of all processes are averaged."""
        return network

    def total(self, value: Tensor) -> Tensor:
        """Return the sum over all processes; gradients go through."""
        return value

    def decide(self, value: Any) -> Any:
        """Return process 0's value; a plain one, not a tensor."""
        return value

    def any(self, mine: bool) -> bool:
        """Whether it is so in any process."""
        return mine

    def wait(self) -> None:
        """Wait until all processes are here."""

    def close(self) -> None:
        """End what connects the processes."""


class Group(Workers):
    """One process of several that torchrun has started.

    Parameters
    ----------
    device
        What this process computes on.
    """

    def __init__(self, device: torch.device) -> None:
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend)
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        self._device = device
        # What is decided on the host must not wait for the device.
        self._host: Any = dist.new_group(backend="gloo", timeout=PATIENCE)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network such that gradients and batch norm are those of all processes."""
        share_batch_norm(network, self._device)
        places = [self._device.index] if self._device.type == "cuda" else None
        # All processes compute the same statistics of batch norm.
        unsynced: dict[str, Any] = {BUFFERS: False}
        return DistributedDataParallel(network, places, gradient_as_bucket_view=True, **unsynced)

    def total(self, value: Tensor) -> Tensor:
        """Return the sum over all processes; gradients go through."""
        return sum_over_processes(value)

    def decide(self, value: Any) -> Any:
        """Return process 0's value."""
        box = [value]
        dist.broadcast_object_list(box, 0, group=self._host)
        return box[0]

    def any(self, mine: bool) -> bool:
        """Whether it is so in any process."""
        flag = torch.tensor([int(mine)])
        dist.all_reduce(flag, dist.ReduceOp.MAX, group=self._host)
        return bool(flag)

    def wait(self) -> None:
        """Wait until all processes are here."""
        dist.barrier(group=self._host)

    def close(self) -> None:
        """End what connects the processes."""
        dist.destroy_process_group()


def local_rank() -> int | None:
    """Return which of the processes on this machine this is; None if torchrun started none."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "LOCAL_RANK" not in os.environ:
        return None
    return int(os.environ["LOCAL_RANK"])


def processes_here() -> int:
    """Return how many processes share this machine."""
    return 1 if local_rank() is None else int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def own_device(device: torch.device) -> torch.device:
    """Return the device of this process: each has a GPU of its own, or all share the CPU."""
    rank = local_rank()
    if rank is None or device.type != "cuda":
        return device
    return torch.device("cuda", rank)


@contextmanager
def joined(device: torch.device) -> Iterator[Workers]:
    """Connect this process with the others that torchrun has started, if any.

    Parameters
    ----------
    device
        What they compute on; of several GPUs, each takes its own.
    """
    if local_rank() is None:
        yield Workers()
        return
    device = own_device(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    workers = Group(device)
    try:
        yield workers
    finally:
        workers.close()


def check_batches(crops: Sequence[int], workers: int) -> None:
    """Raise `ConfigError` if a process would have no crops in a step of some stage."""
    if min(crops) < workers:
        raise ConfigError(
            f"{workers} processes cannot share the {min(crops)} crops of a step.",
            "Use larger batches (--set data.stage1_batch=…, data.labelled_batch=…, "
            "data.whole_set_batch=…) or fewer processes.",
        )
