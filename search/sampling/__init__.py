"""What proposes configurations: one table of samplers, and those of our own."""
