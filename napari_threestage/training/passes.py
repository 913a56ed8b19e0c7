"""The networks' passes in a step; on one GPU they are CUDA graphs, which it replays.

The networks of small crops are hundreds of small kernels, and launching one takes the host longer
than it takes the GPU to run it. A graph is launched as a whole. It holds for one size of the crops;
where it cannot be made, the passes stay as they are.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_threestage.training.adversarial import worst_change
from napari_threestage.training.economy import free_memory
from napari_threestage.training.precision import autocast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_threestage.training.multitask import FeatureDropout, TwoBranchNetwork
    from napari_threestage.training.networks import BlockNetwork

    Replay = Callable[..., tuple[Tensor, ...]]

WARM_UP = 3  # passes until libraries are loaded and the fastest kernels are chosen


class Passes:
    """How student and teacher go over crops.

    Parameters
    ----------
    student
        f and its second branch, perhaps wrapped or compiled.
    teacher
        θ', in evaluation mode.
    precision
        What they compute in.
    device
        Where they are.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: BlockNetwork,
        precision: torch.dtype,
        device: torch.device,
    ) -> None:
        self._student, self._teacher = student, teacher
        self.precision, self.device = precision, device

    def student(
        self, images: Tensor, branch: bool, dropout: FeatureDropout | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the logits of f and of g for images (B, C, H, W), as `TwoBranchNetwork` does."""
        with autocast(self.precision, self.device):
            logits: tuple[Tensor, Tensor | None] = self._student(images, branch, dropout)
        return logits

    @torch.no_grad()
    def teacher(self, images: Tensor) -> Tensor:
        """Return the logits of f_θ' (B, K, H, W), valid until the next call."""
        with autocast(self.precision, self.device):
            logits: Tensor = self._teacher(images)
        return logits

    @property
    def captured(self) -> bool:
        """Whether there are graphs."""
        return False

    def close(self) -> None:
        """Give back what is kept for the next pass."""

    def worst_change(self, images: Tensor, soft: Tensor, begin: Tensor, radius: float) -> Tensor:
        """Return what `adversarial.worst_change` does of the teacher, valid until the next call."""
        with autocast(self.precision, self.device):
            return worst_change(self._teacher, images, soft, begin, radius)


class ReplayedPasses(Passes):
    """The same passes, captured when crops of a size come for the first time.

    The student is a `TwoBranchNetwork` here.
    """

    def __init__(
        self,
        student: TwoBranchNetwork,
        teacher: BlockNetwork,
        precision: torch.dtype,
        device: torch.device,
    ) -> None:
        super().__init__(student, teacher, precision, device)
        self._network = student
        self._graphs: dict[tuple[object, ...], Replay | None] = {}

    def student(
        self, images: Tensor, branch: bool, dropout: FeatureDropout | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the logits of f and of g, valid until the next call."""
        replay = None
        if dropout is None:
            key = ("student", branch, images.shape)
            replay = self._graph(key, lambda: self._capture_student(images, branch))
        if replay is None:
            return super().student(images, branch, dropout)
        logits, *others = replay(images)
        return logits, others[0] if others else None

    def teacher(self, images: Tensor) -> Tensor:
        """Return the logits of f_θ' (B, K, H, W), valid until the next call."""
        label = super().teacher
        replay = self._graph(("teacher", images.shape), lambda: self._capture(label, images))
        return label(images) if replay is None else replay(images)[0]

    def worst_change(self, images: Tensor, soft: Tensor, begin: Tensor, radius: float) -> Tensor:
        """Return what `adversarial.worst_change` does of the teacher, valid until the next call."""
        change = partial(super().worst_change, radius=radius)
        key = ("worst change", images.shape)
        replay = self._graph(key, lambda: self._capture(change, images, soft, begin))
        return change(images, soft, begin) if replay is None else replay(images, soft, begin)[0]

    @property
    def captured(self) -> bool:
        """Whether there are graphs; none before the first step, and where none could be made."""
        return any(graph is not None for graph in self._graphs.values())

    def close(self) -> None:
        """Give back the graphs' memory, where the gradients are too; torch holds it in circles."""
        self._graphs.clear()
        for parameter in self._network.parameters():
            parameter.grad = None
        free_memory(self.device)

    def _graph(self, key: tuple[object, ...], capture: Callable[[], Replay]) -> Replay | None:
        """Return what replays a pass; None where it could not be captured."""
        if key not in self._graphs:
            try:
                with torch.cuda.device(self.device):  # whose streams a capture takes
                    self._graphs[key] = capture()
            except RuntimeError:  # too little memory, or something that no graph can hold
                self._graphs[key] = None
                torch.cuda.empty_cache()
        return self._graphs[key]

    def _capture_student(self, images: Tensor, branch: bool) -> Replay:
        """Capture the pass and its gradient."""
        # The streams are ordered by events; torch would warn of it in the log of every run.
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
        with _statistics_kept(self._network), autocast(self.precision, self.device, cache=False):
            replay: Any = torch.cuda.make_graphed_callables(
                _AllLogits(self._network, branch),
                (images.detach().clone(),),
                num_warmup_iters=WARM_UP,
                allow_unused_input=True,
            )
        found: Replay = replay
        return found

    def _capture(self, work: Callable[..., Tensor], *inputs: Tensor) -> Replay:
        """Capture what makes one tensor of others and follows no gradient back to them."""
        held = [one.clone() for one in inputs]
        beside, now = torch.cuda.Stream(self.device), torch.cuda.current_stream(self.device)
        beside.wait_stream(now)
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                work(*held)
        now.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = work(*held)

        def replay(*inputs: Tensor) -> tuple[Tensor, ...]:
            for mine, theirs in zip(held, inputs, strict=True):
                mine.copy_(theirs)
            graph.replay()
            return (result,)

        return replay


class _AllLogits(nn.Module):
    """Maps images to the logits that there are; a graph returns tensors only."""

    def __init__(self, network: TwoBranchNetwork, branch: bool) -> None:
        super().__init__()
        self.network, self._branch = network, branch

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(one for one in self.network(images, self._branch) if one is not None)


@contextmanager
def _statistics_kept(network: nn.Module) -> Iterator[None]:
    """Undo what the passes inside do to the running statistics of batch norm."""
    buffers = list(network.buffers())
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)
