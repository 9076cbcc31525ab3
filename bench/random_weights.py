"""Random weights for a network of any size, drawn where the network is: speed and memory do not depend on them."""

from __future__ import annotations

import torch


def draw_weights(network: torch.nn.Module) -> None:
    """Fills a network's weights, in place and the same every time. Matrices keep the variance of what they are given.

    Vectors get what a network begins with, so that deep ones stay finite: 1 for a gain, 0 for a bias.
    """
    device = next(network.parameters()).device
    generator = torch.Generator(device).manual_seed(0)
    for name, value in network.named_parameters():
        if value.ndim > 1:
            value.data.normal_(std=value[0].numel() ** -0.5, generator=generator)
        else:
            value.data.fill_(1.0 if name.endswith("weight") else 0.0)
