"""What goes beside an exported network."""
