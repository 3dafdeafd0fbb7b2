"""A `Checkpoint` in, a verified model folder out, all or nothing."""
