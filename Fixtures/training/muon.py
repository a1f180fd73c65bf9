"""Orthogonalized momentum (Muon), for networks whose weights lie in one flat vector."""

import torch


class Muon:
    """Orthogonalized momentum for the matrices and filters, Adam for everything else.

    The update of a matrix has the size that Adam's would have, so one learning rate does for both.
    """

    def __init__(self, weights, first, second, step):
        self.groups, vectors = {}, []
        for weight, momentum, square in zip(weights, first, second, strict=True):
            if weight.dim() < 2 or min(weight.shape[0], weight[0].numel()) < 16:
                vectors.append((weight, momentum, square))
            else:
                shape = (weight.shape[0], weight[0].numel())
                self.groups.setdefault(shape, []).append((weight, momentum))
        self.adam = torch.optim.AdamW([item[0] for item in vectors], weight_decay=1e-3, fused=True)
        for weight, momentum, square in vectors:
            self.adam.state[weight] = {
                "step": torch.tensor(float(step)),
                "exp_avg": momentum,
                "exp_avg_sq": square,
            }

    @torch.no_grad()
    def step(self, rate):
        self.adam.param_groups[0]["lr"] = rate
        self.adam.step()
        for (rows, columns), members in self.groups.items():
            updates = []
            for weight, momentum in members:
                momentum.lerp_(weight.grad, 0.05)
                updates.append(flat_matrix(weight.grad.lerp(momentum, 0.95)))
            updates = orthogonalize(torch.stack(updates))
            size = rate * 0.2 * max(rows, columns) ** 0.5
            for (weight, _), update in zip(members, updates, strict=True):
                flat_matrix(weight.data).sub_(update, alpha=size)


def flat_matrix(tensor):
    """A view as a matrix, with the filters in the order in which they lie in memory."""
    if tensor.dim() == 4:
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.view(tensor.shape[0], -1)


def orthogonalize(matrices, rounds=5):
    """Newton-Schulz iterations towards the nearest orthogonal matrix of each."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-12)
    for _ in range(rounds):
        gram = x @ x.mT
        x = torch.baddbmm(x, -4.7750 * gram + 2.0315 * gram @ gram, x, beta=3.4445)
    return x.mT if tall else x
