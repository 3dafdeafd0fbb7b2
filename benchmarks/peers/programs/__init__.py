"""Programs that serve a peer; each runs in its peer's own environment, not in Cloze's."""
