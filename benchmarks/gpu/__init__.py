"""Cloze on a GPU: what its figures in docs/gpu.md come from; PyTorch on the same GPU beside it."""
