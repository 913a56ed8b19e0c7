"""One stage of training: one loop for all stages, steered by the stage's row and the configuration.

A step (eq. 4, 5):

1. draw labelled crops x_l and crops x_w of the whole set L and U, weakly augmented
2. the teacher labels both; A perturbs x_w, B moves the labels and pseudo-masks in the same way
3. one pass of the student through both branches on [x_l, A x_w]
4. L = L_seg + λ1 L_con + λ2 L_pl, one step of the optimiser, one of the moving average

The host draws, the device does everything else; no step makes one wait for the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from napari_threestage.stages import student_crops
from napari_threestage.training.batch_norm import freeze_batch_norm
from napari_threestage.training.batches import step_generator
from napari_threestage.training.clean_statistics import CleanStatistics, PlainCrops
from napari_threestage.training.cpu_kernels import choose_kernels
from napari_threestage.training.crops import (
    DevicePlanes,
    HostPlanes,
    Planes,
    choose_planes,
)
from napari_threestage.training.drawing import Drawing, Drawn
from napari_threestage.training.economy import Economy
from napari_threestage.training.feed import Feed
from napari_threestage.training.losses import class_weights, count_valid
from napari_threestage.training.multitask import FeatureDropout, TwoBranchNetwork
from napari_threestage.training.objective import Objective
from napari_threestage.training.optimise import Optimiser
from napari_threestage.training.passes import Passes, ReplayedPasses
from napari_threestage.training.precision import choose_precision
from napari_threestage.training.targets import Counts, TargetMaker, Targets
from napari_threestage.training.teacher import Teacher
from napari_threestage.training.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_threestage.config import Config, DataConfig
    from napari_threestage.stages import StageSpec
    from napari_threestage.training.batches import Sample
    from napari_threestage.training.networks import BlockNetwork

AHEAD = 3  # steps that the host prepares in advance where it copies pixels for the device


class StageTrainer:
    """The state of a stage and its step.

    Parameters
    ----------
    spec
        Row of the stage table.
    config
        The recipe.
    samples
        All planes of L and U; from stage 2 on with their pseudo-masks.
    network
        f with the second branch of this stage.
    device
        Where to train.
    seed
        Decides, with the stage and the step, every random choice.
    workers
        The processes that share the crops of a step.
    economy
        How to save memory.
    """

    def __init__(
        self,
        spec: StageSpec,
        config: Config,
        samples: Sequence[Sample],
        network: TwoBranchNetwork,
        device: torch.device,
        seed: int,
        workers: Workers | None = None,
        economy: Economy | None = None,
    ) -> None:
        self.spec, self.config, self.device, self.seed = spec, config, device, seed
        self.workers = workers or Workers()
        self.step = 0
        if config.network.batch_norm_is_frozen:  # the teacher's, too
            *backbone, _ = network.segmenter.blocks
            freeze_batch_norm(nn.ModuleList(backbone))
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.teacher = Teacher(
            self.network.segmenter, config.teacher, warm=spec.start_from is not None
        )
        if device.type == "cpu" and not config.compile:  # or torch chooses for itself
            choose_kernels(self.network, learns=True)
            choose_kernels(self.teacher.network, learns=False)
        self._make_targets = TargetMaker(spec, config, self.teacher, device, seed, self.workers)
        self._samples = samples
        self._objective = Objective(spec, config, self._class_weight(), self.workers)
        self.network.train()
        if not config.loss.pseudo:
            self.network.own_blocks.requires_grad_(False)  # they are not used
        self._student = self.workers.wrap(self.network)
        if config.compile:
            _compile(self._student)
            _compile(self.teacher.network)
        self.optimiser = Optimiser(config, self.network)
        self._passes: Passes | None = None
        self._feed: Feed[Drawn] | None = None
        self._planes: Planes | None = None
        self._statistics: CleanStatistics | None = None
        self.use(economy or Economy())

    def use(self, economy: Economy) -> None:
        """Save memory in this way from the next step on."""
        if self.workers.count > 1:  # all have to make as many passes
            economy = replace(economy, parts=1)
        self.economy = economy
        self.network.segmenter.recompute = self.teacher.network.recompute = economy.recompute
        config, device = self.config, self.device
        half = config.model_copy(update={"precision": "auto"}) if economy.half else config
        self.precision = choose_precision(half, device)
        self.optimiser.scale(self.precision == torch.float16)
        crop = economy.crop or config.data.crop
        data = config.data.model_copy(update={"crop": crop})
        self.close()
        self._planes = self._statistics = None  # before there are others
        planes = self._planes = choose_planes(self._samples, data, device, economy.host_images)
        self._statistics = self._choose_statistics(data, planes)
        self._passes = self._choose_passes()
        copies = isinstance(planes, HostPlanes) and device.type != "cpu"
        draw = Drawing(
            self.spec,
            self.config,
            data,
            self._samples,
            planes,
            device,
            self.seed,
            self.workers,
        )
        self._feed = Feed(draw, self.spec.steps, AHEAD if copies else 0)

    def _choose_statistics(self, data: DataConfig, planes: Planes) -> CleanStatistics | None:
        """Look at unperturbed crops where the recipe wants that."""
        if self.config.teacher.statistics != "clean":
            return None
        size = max(1, self.images_per_step // self.economy.parts)  # that a step has, too
        crops = PlainCrops(self._samples, planes, data, self.seed, self.spec.number, size)
        return CleanStatistics(crops, self.precision, self.device)

    def _choose_passes(self) -> Passes:
        """Replay graphs where nothing is in their way."""
        config, economy = self.config, self.economy
        wanted = config.cuda_graphs and economy.graphs and not config.compile
        # The gradient of a graph is written over the one before; threads that copy images meanwhile
        # would disturb its capture.
        alike = economy.parts == 1 and not economy.recompute
        possible = self.device.type == "cuda" and alike and self.holds_images
        rest = self.teacher.network, self.precision, self.device
        if wanted and possible and isinstance(self._student, TwoBranchNetwork):
            return ReplayedPasses(self._student, *rest)
        return Passes(self._student, *rest)  # a compiled one, or a share of several processes

    def close(self) -> None:
        """End what works beside the steps, and give back what only they need."""
        if self._feed is not None:
            self._feed.close()
        if self._passes is not None:
            self._passes.close()

    @property
    def done(self) -> bool:
        """Whether all steps are made."""
        return self.step >= self.spec.steps

    @property
    def averaged(self) -> bool:
        """Whether this stage has a teacher."""
        return self.spec.self_training or self.config.teacher.in_stage_1

    @property
    def segmenter(self) -> BlockNetwork:
        """What the stage ends with: the teacher where there is one, else the student."""
        return self.teacher.network if self.averaged else self.network.segmenter

    @property
    def holds_images(self) -> bool:
        """Whether the images are in the device's memory."""
        return isinstance(self._planes, DevicePlanes)

    @property
    def replays(self) -> bool:
        """Whether there are CUDA graphs, which keep memory."""
        return self._passes is not None and self._passes.captured

    @property
    def images_per_step(self) -> int:
        """Crops that the student sees in a step, in all processes."""
        return student_crops(self.config, self.spec)

    def train_step(self) -> dict[str, Tensor]:
        """Make one step and return its losses by name, as tensors on the device.

        A step that fails for want of memory has changed no weight and can be made again; only
        the statistics of batch norm have seen its crops then.
        """
        assert self._feed is not None and self._planes is not None and self._passes is not None
        with record_function("threestage::draw"):
            drawn = self._feed(self.step)
        with record_function("threestage::crops"):
            batch = self._planes.cut(drawn.fetched)
        parts = self.economy.parts
        targets = self._make_targets(batch, drawn, self.step, self._passes, parts)
        self.optimiser.begin(self.step, self.spec.steps)
        losses = self._learn(targets, self._passes)
        with record_function("threestage::optimiser"):
            self.optimiser.step()
        self.step += 1
        if self.averaged:
            with record_function("threestage::average"):
                self.teacher.update(self.network.segmenter, self.step - 1, self.spec.steps)
        return losses

    def finish(self, *, student: bool, obey: Callable[[], None] = lambda: None) -> None:
        """Bring what the stage ends with into the state in which it predicts images.

        Parameters
        ----------
        student
            Whether the student is to predict images as well.
        obey
            Called now and then; raises to end.
        """
        if self._statistics is None:
            return
        self._statistics.recompute(self.segmenter, obey)
        if student and self.averaged:
            self._statistics.recompute(self.network.segmenter, obey)

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        return {
            "stage": self.spec.number,
            "step": self.step,
            "network": self.network.state_dict(),
            "teacher": self.teacher.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "economy": self.economy.to_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.step = int(state["step"])
        self.network.load_state_dict(state["network"])
        self.teacher.network.load_state_dict(state["teacher"])
        economy = Economy.from_dict(state.get("economy", {}))
        if economy != self.economy:
            self.use(economy)
        self.optimiser.load_state_dict(state["optimiser"])

    def _learn(self, targets: Targets, passes: Passes) -> dict[str, Tensor]:
        """Add up the gradients of all parts of the step; return its losses."""
        whole = (targets.truth, targets.teacher, targets.pseudo)
        numbers = [count_valid(one) for one in whole]
        paired = targets.paired
        numbers.append(torch.zeros_like(numbers[0]) if paired is None else paired.sum())
        counts = self.workers.total(torch.stack(numbers))
        parts = targets.split(self.economy.parts)
        generator = step_generator(self.seed, self.spec.number, self.step, stream=1)
        wants_branch = self.config.loss.pseudo > 0
        sums: dict[str, Tensor] = {}
        for part in parts:
            dropout = None
            if self.config.augment.feature_view:
                dropout = FeatureDropout(part.weak, generator)
            with record_function("threestage::student"):
                logits, branch = passes.student(part.images, wants_branch, dropout)
            with record_function("threestage::losses"):
                total, losses = self._objective(
                    part, logits, branch, Counts(*counts), step=self.step, parts=len(parts)
                )
            with record_function("threestage::backward"):
                self.optimiser.backward(total)
            for name, value in losses.items():
                sums[name] = sums[name] + value if name in sums else value
        return self._objective.of_all(sums, self.step)

    def _class_weight(self) -> Tensor | None:
        """Return the weights (K,) of the classes in L_seg, if the recipe wants some."""
        power = self.config.loss.class_weights
        if not power:
            return None
        channels = self.network.segmenter.mean.shape[1]
        probe = torch.zeros(1, channels, 32, 32, device=self.device)
        with torch.no_grad():
            n_classes = self.network.segmenter.eval()(probe).shape[1]
        truths = [sample.truth for sample in self._samples if sample.truth is not None]
        return class_weights(truths, n_classes, power).to(self.device)


def _compile(module: nn.Module) -> None:
    """Let torch make kernels for a module; where it cannot, the module stays as it is."""
    torch._dynamo.config.suppress_errors = True
    module.compile(dynamic=False)
