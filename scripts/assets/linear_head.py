"""A linear head, fitted to the end."""

import torch


def logistic_regression(features: torch.Tensor, labels: torch.Tensor, penalty: float) -> tuple[torch.Tensor, ...]:
    """Weight (classes, features) and bias (classes,) that minimise the mean loss + `penalty` * the squared weight."""
    classes = int(labels.max()) + 1
    weight = torch.zeros(classes, features.shape[1], dtype=features.dtype, requires_grad=True)
    bias = torch.zeros(classes, dtype=features.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(features @ weight.T + bias, labels) + penalty * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach(), bias.detach()
