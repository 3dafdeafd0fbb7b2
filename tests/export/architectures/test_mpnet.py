"""The buckets of distances, all of them against those of transformers."""

import numpy as np
import torch
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

from export.architectures.mpnet import bucket


def test_every_distance_falls_into_the_bucket_of_transformers() -> None:
    distances = np.arange(-1030, 1031)
    theirs = MPNetEncoder.relative_position_bucket(torch.from_numpy(distances)).numpy()
    np.testing.assert_array_equal(bucket(distances), theirs)
    assert set(theirs.tolist()) == set(range(32)) - {16}
