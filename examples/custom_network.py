"""A network of your own as blocks: any sequence of blocks trains with two branches.

    python examples/custom_network.py out --steps 20

A segmentation network f is a sequence of N blocks; each maps what the one before gave, the last
one, the decoder, maps the list of all feature maps to logits. The second branch of stage 2 or 3
shares the first blocks and has own last ones: two (ĝ) or one (g̃). Nothing else is needed to train
a step of it, and only f is kept.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_threestage.training.multitask import TwoBranchNetwork
from napari_threestage.training.networks import BlockNetwork

N_CLASSES = 3


class Decoder(nn.Module):
    """Logits from the two newest feature maps."""

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        self.fine, self.coarse = (nn.Conv2d(count, N_CLASSES, 1) for count in channels)

    def forward(self, features: list[Tensor]) -> Tensor:
        fine = self.fine(features[-2])
        return fine + F.interpolate(self.coarse(features[-1]), fine.shape[-2:])


def block(before: int, after: int) -> nn.Module:
    """A block that halves the size."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    torch.manual_seed(0)

    # 1. f: three blocks and a decoder. Mean and deviation are those of the images' channels.
    blocks = [block(3, 16), block(16, 32), block(32, 64), Decoder((32, 64))]
    segmenter = BlockNetwork(blocks, mean=[0.5] * 3, std=[0.25] * 3)

    # 2. Own last blocks of the second branch: two for ĝ; give only the last one for g̃.
    own_blocks = [block(32, 64), copy.deepcopy(blocks[-1])]
    network = TwoBranchNetwork(segmenter, own_blocks)
    print(f"{len(blocks)} blocks, of which {network.n_shared} are shared")

    # 3. Steps with both losses: labels guide f, pseudo-masks guide the branch. Here images are
    # noise whose brightness tells the class; pseudo-masks are wrong in a fifth of the pixels.
    optimiser = torch.optim.Adam(network.parameters(), 0.003)
    for step in range(options.steps):
        labels = torch.randint(N_CLASSES, (4, 8, 8)).repeat_interleave(8, 1).repeat_interleave(8, 2)
        images = (labels[:, None] / 3 + 0.2 * torch.rand(4, 3, 64, 64)).clamp(0, 1)
        wrong = torch.rand(labels.shape) < 0.2
        pseudo = torch.where(wrong, torch.randint(N_CLASSES, labels.shape), labels)
        f_logits, g_logits = network(images)
        loss = F.cross_entropy(f_logits, labels) + 0.5 * F.cross_entropy(g_logits, pseudo)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step in (0, options.steps - 1):
            print(f"step {step + 1}: loss {loss.item():.3f}")

    # 4. Only f is kept.
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.save(segmenter.state_dict(), options.folder / "segmenter.pth")
    with torch.inference_mode():
        confidence = segmenter.eval()(images).softmax(1).amax(1)
    print(f"mean confidence {confidence.mean():.2f}")


if __name__ == "__main__":
    main()
