"""A teacher in minutes: a new head on frozen ImageNet features, fitted on augmented views."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from training.augment import training_view
from training.loop import Photos
from training.models import Teacher

log = logging.getLogger(__name__)


@torch.no_grad()
def pooled_features(teacher: Teacher, photos: Photos, workers: int = 1) -> tuple[Tensor, Tensor]:
    """One random view of each photo through the backbone: (N, C) float features and (N,) targets."""
    features, targets = [], []
    loader = DataLoader(photos, 32, num_workers=workers, worker_init_fn=lambda _: torch.set_num_threads(1))
    for images, labels in tqdm(loader, desc="teacher features", leave=False, mininterval=5):
        with torch.autocast("cpu", torch.bfloat16):
            maps = teacher.maps(images)
        features.append(maps[-1].float().mean(dim=(2, 3)))
        targets.append(labels)
    return torch.cat(features), torch.cat(targets)


def fit_head(
    teacher: Teacher, photos: Photos, size_px: int, views: int = 3, strength: float = 1.0, workers: int = 1
) -> float:
    """Fit the teacher's linear head on `views` random views of each photo; returns its accuracy on them.

    Multinomial logistic regression with weight decay, balanced by class, full-batch L-BFGS.
    """
    teacher.eval()
    photos.view = training_view(size_px, strength)
    passes = [pooled_features(teacher, photos, workers) for _ in range(views)]
    features, targets = torch.cat([p[0] for p in passes]), torch.cat([p[1] for p in passes])
    mean, deviation = features.mean(0), features.std(0) + 1e-4
    scaled = (features - mean) / deviation
    classes = int(targets.max()) + 1
    balance = 1 / torch.bincount(targets, minlength=classes).float().clamp(min=1).sqrt()
    balance = balance / balance.mean()
    head = nn.Linear(features.shape[1], classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(head(scaled), targets, weight=balance) + 2e-3 * head.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        teacher.head.weight.copy_(head.weight / deviation)
        teacher.head.bias.copy_(head.bias - (head.weight * (mean / deviation)).sum(1))
        return float((head(scaled).argmax(1) == targets).float().mean())
