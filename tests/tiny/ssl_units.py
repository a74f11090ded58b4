"""Tiny speech encoders with random centroids: in joblib dumps of scikit-learn, or in PyTorch's format."""

from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans

from tiny import speech_encoders
from tokbench.codecs.card import Card

__all__ = ["write", "write_centroids"]


def write(card: Card, folder: Path) -> None:
    """Save an encoder, and the centroids of every setting."""
    num_layers = max(arguments["layer"] for arguments in card.settings.values())
    speech_encoders.save(card.parts["model"], folder, num_layers=num_layers)
    for setting, arguments in card.settings.items():
        num_units = int(setting.partition("-km")[2].partition("-")[0])
        write_centroids(folder / card.parts["centroids"].folder / arguments["centroids_file"], num_units)


def write_centroids(path: Path, num_units: int, num_features: int = speech_encoders.NUM_FEATURES) -> np.ndarray:
    """Save random centroids, and return them."""
    centroids = np.random.default_rng(0).standard_normal((num_units, num_features), np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.startswith("codebook"):
        torch.save({"codebook": torch.from_numpy(centroids)}, path)
    else:
        estimator = MiniBatchKMeans(num_units)
        estimator.cluster_centers_ = centroids
        joblib.dump(estimator, path)
    return centroids
