"""One pruning run by several processes, each with a device of its own: data-parallel training, the rest by the first.

``processes`` is what the run is told of the others; ``membership`` joins them, from what ``torchrun`` says.
"""
