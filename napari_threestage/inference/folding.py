"""Batch norm that is part of the convolution before it: the same results, sooner on a CPU."""

from __future__ import annotations

import copy
import itertools
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network) -> Network:
    """Return a copy whose convolutions do what their batch norms do; it cannot be trained.

    Parameters
    ----------
    network
        In evaluation mode.  Where a batch norm follows a convolution among the children of a
        module, it has to follow it in its computation as well, as in all networks here.
    """
    copied = copy.deepcopy(network)
    for module in copied.modules():
        for (name, first), (next_name, second) in itertools.pairwise([*module.named_children()]):
            if type(first) is nn.Conv2d and isinstance(second, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(first, second))
                setattr(module, next_name, nn.Identity())
    return copied
