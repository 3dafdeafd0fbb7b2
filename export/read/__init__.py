"""A checkpoint on disk or on the hub in, a `Checkpoint` in Cloze's own terms out."""
