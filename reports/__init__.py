"""Finished trials, as plain data, into fronts, picks, tables, plots and one offline page."""
