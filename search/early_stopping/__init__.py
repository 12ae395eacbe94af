"""Which trials go on at a rung."""
