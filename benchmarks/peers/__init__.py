"""Other ways to serve the same weights: installed each by itself, run and asked like Cloze."""
