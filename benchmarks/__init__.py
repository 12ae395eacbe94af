"""Measurements on public data; not installed with the packages."""
