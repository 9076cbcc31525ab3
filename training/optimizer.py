"""Muon for every matrix and convolution, AdamW for the rest.

Muon steps along the nearest orthogonal matrix to the momentum, so that weak directions move as fast as strong ones; on
the video VAE it reached in two minutes what AdamW did not in eight. A convolution [out, in, ...] counts as the matrix
[out, in * ...].
Source: Jordan et al. 2024, github.com/KellerJordan/Muon; its steps are scaled to AdamW's by 0.2 sqrt(max(out, in)),
Moonshot 2025, arXiv:2502.16982v1, Eq. 4. Differences to torch.optim.Muon, which it equals in bf16: the precision of
the iteration can be chosen, since a CPU without bf16 units takes hundreds of times as long in bf16.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

SMALLEST = 16  # rows and columns; smaller matrices have no weak directions worth the work
COEFFICIENTS, ITERATIONS = (3.4445, -4.775, 2.0315), 5
MOMENTUM, DECAY = 0.95, 0.01


def orthogonal(matrix: Tensor, precision: torch.dtype) -> Tensor:
    """About U V^T of U S V^T, singular values 0.7 to 1.2: five steps of X <- a X + (b A + c A^2) X with A = X X^T.

    Args:
        matrix: [R, C]. precision: of the iteration.
    Returns:
        [R, C] in this precision.
    """
    a, b, c = COEFFICIENTS
    x = matrix.to(precision)
    tall = len(x) > x.shape[1]
    x = x.mT if tall else x
    x = x / x.norm().clamp_min(1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """M <- 0.95 M + 0.05 G, W <- (1 - rate * 0.01) W - rate * 0.2 sqrt(max(R, C)) orthogonal(0.05 G + 0.95 M)."""

    def __init__(self, matrices: Iterable[nn.Parameter], lr: float, precision: torch.dtype) -> None:
        super().__init__(matrices, {"lr": lr})
        self._precision = precision

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                momentum = state.setdefault("momentum_buffer", torch.zeros_like(matrix))
                momentum.lerp_(matrix.grad, 1 - MOMENTUM)
                direction = orthogonal(matrix.grad.lerp(momentum, MOMENTUM), self._precision)
                matrix.mul_(1 - group["lr"] * DECAY)
                matrix.add_(direction, alpha=-group["lr"] * 0.2 * max(matrix.shape) ** 0.5)


class MatrixOptimizer:
    """Both optimisers behind one step."""

    def __init__(
        self, module: nn.Module, rate: float, muon: bool = True, precision: torch.dtype = torch.bfloat16
    ) -> None:
        """muon: whether matrices are trained by Muon; else AdamW trains all. precision: of Muon's iteration."""
        self._parameters: list[nn.Parameter] = []
        self._matrices: list[nn.Parameter] = []  # views of the parameters, as Muon takes only matrices
        others = []
        for parameter in (item for item in module.parameters() if item.requires_grad):
            if muon and parameter.ndim >= 2 and min(len(parameter), parameter[0].numel()) >= SMALLEST:
                self._parameters.append(parameter)
                self._matrices.append(nn.Parameter(parameter.data.view(len(parameter), -1)))
            else:
                others.append(parameter)
        self._parts: dict[str, torch.optim.Optimizer] = {}  # an optimiser takes no empty list
        if self._matrices:
            self._parts["muon"] = Muon(self._matrices, rate, precision)
        if others:
            self._parts["adam"] = torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)

    def set_rate(self, rate: float) -> None:
        for part in self._parts.values():
            for group in part.param_groups:
                group["lr"] = rate

    def step(self) -> None:
        for parameter, matrix in zip(self._parameters, self._matrices, strict=True):
            matrix.grad = None if parameter.grad is None else parameter.grad.reshape(matrix.shape)
        for part in self._parts.values():
            part.step()
        for matrix in self._matrices:
            matrix.grad = None

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
