"""A graph and the weights it was made of in, how far it is from the NumPy reference out."""
