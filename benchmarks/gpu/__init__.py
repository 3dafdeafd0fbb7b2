"""Cloze on a GPU beside PyTorch: the sections of the other benchmarks, other subjects."""
