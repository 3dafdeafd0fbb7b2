"""What one family of encoders is: one file a family, and the table of all in `registry`."""
