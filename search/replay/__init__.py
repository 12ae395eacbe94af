"""Searches over recorded runs, against a virtual clock: samplers and halving rules compared without training."""
