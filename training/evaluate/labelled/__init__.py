"""A fine-tuned model and labelled examples in, figures of how good its answers are out.

THE FLOW: file -> material -> a model's answers -> outcome -> figures, tables, picture, files.
"""
