"""Google's original checkpoints in, a `TensorSource` out; TensorFlow itself is not needed."""
