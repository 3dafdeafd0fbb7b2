"""A checkpoint and held-out text in, figures of what it has learnt out; trains nothing."""
