"""The buckets of distances, all of them against those of transformers."""

import numpy as np
import pytest
import torch
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

from export.architectures.deberta import bucket


@pytest.mark.parametrize(("buckets", "farthest"), [(256, 512), (8, 41), (32, 100), (6, 24)])
def test_every_distance_falls_into_the_bucket_of_transformers(buckets: int, farthest: int) -> None:
    distances = np.arange(1 - farthest, farthest)
    theirs = make_log_bucket_position(torch.from_numpy(distances), buckets, farthest).long().numpy()
    np.testing.assert_array_equal(bucket(distances, buckets, farthest), theirs)
    assert theirs.max() == buckets - 1
