"""A corpus in, a checkpoint with BERT's two heads and its training curves out."""
