"""Adam for what is fitted map by map, each at the steps that draw it."""

import torch
from torch import Tensor

BETA1, EPSILON = 0.9, 1e-8


class MapAdam:
    """Adam over parameters (M, …) whose rows are maps: a row's moments and its number of steps are its own.

    So what becomes of a map depends on how often it was drawn, and not on how many others there are. In Adam over the
    whole table moments fade, and go on moving a row, at all the steps between two of its draws.
    """

    def __init__(self, parameters: list[Tensor], beta2: float):
        self.parameters, self.beta2 = parameters, beta2
        self.draws = torch.zeros(len(parameters[0]), device=parameters[0].device)
        self.first = [torch.zeros_like(parameter) for parameter in parameters]
        self.second = [torch.zeros_like(parameter) for parameter in parameters]

    @torch.no_grad()
    def step(self, rows: Tensor, rates: list[float]) -> None:
        """Move those rows (R,), each named once, by the gradients of the parameters, at a rate each."""
        self.draws[rows] += 1
        draws = self.draws[rows]
        fade, fade2 = 1 - BETA1**draws, 1 - self.beta2**draws
        for parameter, first, second, rate in zip(self.parameters, self.first, self.second, rates):
            gradient = parameter.grad[rows]
            shape = (-1, *[1] * (gradient.dim() - 1))
            mean = first[rows].lerp(gradient, 1 - BETA1)
            square = second[rows].lerp(gradient.square(), 1 - self.beta2)
            first[rows], second[rows] = mean, square
            size = (square / fade2.reshape(shape)).sqrt() + EPSILON
            parameter[rows] -= rate * (mean / fade.reshape(shape)) / size

    def state_dict(self) -> dict:
        """Tensors, for a checkpoint."""
        return {"draws": self.draws, "first": self.first, "second": self.second}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a checkpoint."""
        device = self.draws.device
        self.draws = state["draws"].to(device)
        self.first, self.second = (
            [moment.to(device) for moment in state[name]] for name in ("first", "second")
        )
