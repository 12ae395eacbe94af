"""Channel pruning of CNN classifiers, steered by their explanations. Usable without the orchestrator.

Import from the submodules; this package itself loads nothing (``pruning_core.config`` needs no torch).
"""
