"""Composes pruning runs into a search: the spec, the engine over Ray and Optuna, MLflow, the command line.

Import from the submodules; this package itself loads nothing, so that ``prunefront --help`` is quick.
"""
