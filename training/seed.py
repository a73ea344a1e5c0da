"""The student project's recipe on features that are computed once: what the gain is measured against.

Its backbone is DenseNet121 with ImageNet weights, frozen; head, loss, optimiser and augmentation are the seed's too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.augment import evaluation_view, read_photo, seed_view
from training.models import Normalised, seed_head
from training.outcome import Outcome, logits_of, targets_of
from training.precision import mixed_precision
from training.sampling import Photos
from training.split import Photo
from training.teach import pooled_features

BATCH, EPOCHS, LEARNING_RATE = 64, 20, 3e-3
VIEW_PX = 224


def fit_seed_head(
    backbone: Normalised, photos: Photos, classes: int, views: int = 2, size_px: int = VIEW_PX, workers: int = 0,
    epochs: int = EPOCHS,
) -> nn.Sequential:  # fmt: skip
    """Fit the seed's head on `views` random views of each photo: NLL, Adam 0.003, batches of 64, 20 epochs.

    The seed drew a new view in every epoch; `views` of them, taken in turn, save the backbone's time.
    """
    backbone.eval()
    photos.view = seed_view(size_px)
    passes = [pooled_features(backbone, photos, workers) for _ in range(views)]
    head = seed_head(passes[0][0].shape[1], classes)
    optimiser = torch.optim.Adam(head.parameters(), lr=LEARNING_RATE)
    for epoch in range(epochs):
        features, targets = passes[epoch % views]
        for chosen in torch.randperm(len(targets)).split(BATCH):
            optimiser.zero_grad()
            functional.cross_entropy(head(features[chosen]), targets[chosen]).backward()
            optimiser.step()
    return head.eval()


def predict_with_head(
    backbone: Normalised, head: nn.Module, photos: Sequence[Photo], classes: tuple[str, ...]
) -> Outcome:
    """What backbone and head say of photos, seen as the device sees them. Raises `DataError`."""

    def answer(batch: Tensor) -> Tensor:
        with mixed_precision():
            maps = backbone.maps(batch)
        logits: Tensor = head(maps[-1].float().mean(dim=(2, 3)))
        return logits

    targets = targets_of(photos, classes)
    views = (evaluation_view(read_photo(photo.path)) for photo in photos)
    return Outcome(tuple(photos), classes, logits_of(answer, views), targets)
