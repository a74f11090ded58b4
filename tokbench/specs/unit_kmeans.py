"""The spec of k-means units: which features are clustered, into how many, on how much."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from tokbench.specs.base import StrictModel

__all__ = ["MiniBatch", "UnitKmeansSpec"]


class MiniBatch(StrictModel):
    """Mini-batch k-means (Sculley 2010) from k-means++ centroids, as scikit-learn does it."""

    max_frames: int = Field(gt=0)
    """Frames drawn from the corpus, uniformly over all of it."""
    batch_frames: int = Field(gt=0)
    """Frames of one mini-batch."""
    max_passes: int = Field(gt=0)
    """Passes over the drawn frames, at most."""
    num_starts: int = Field(gt=0)
    """Sets of first centroids that are drawn; the best is kept."""
    max_no_improvement: int = Field(gt=0)
    """Mini-batches without progress after which it ends."""
    reassignment_ratio: float = Field(ge=0, le=1)
    """Centroids of fewer frames than this share of the largest's are drawn anew."""


class UnitKmeansSpec(StrictModel):
    """A tokenizer that ``tokbench train`` makes of a continuous one, such as HuBERT's ninth layer or MFCCs."""

    name: str
    """What the trained tokenizer is called, unless it is trained into a folder of another name."""
    kind: Literal["unit-kmeans"]
    """How it is built and trained."""
    features: str
    """Card of the features that are clustered."""
    setting: str
    """Setting of that card."""
    num_units: int = Field(gt=1)
    """Centroids."""
    scales: Mapping[str, MiniBatch]
    """How much is trained on, by name: ``tiny``, ``small``, ``paper``."""
