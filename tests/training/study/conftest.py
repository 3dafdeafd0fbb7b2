"""The tiny BERT and the files of examples are those of fine-tuning's tests."""

from tests.training.finetune.conftest import quiet_transformers, tiny, write

__all__ = ["quiet_transformers", "tiny", "write"]
