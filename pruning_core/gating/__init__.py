"""Channel gates: how open a channel is, where the logits come from, and how they are learned."""
