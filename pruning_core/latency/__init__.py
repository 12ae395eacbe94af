"""Latency by a measured table: measure what each layer of a network takes at several widths, store it, read it back."""
