"""The joint between the two flows: the model folder that `export` writes and `server` reads."""
