"""A checkpoint and labelled examples in, a checkpoint with one more output layer out.

Devlin et al. 2018, section 4: a new task needs only a simple output layer on top of the encoder,
and all weights are trained a little further. Three tasks: a label per text or pair (`sequences`),
a label per word (`tokens`), and the span of a text that answers a question (`questions`).
"""
