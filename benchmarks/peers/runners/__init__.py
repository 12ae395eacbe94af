"""What runs inside a peer's environment; nothing here may import anything of ours but `pipe`."""
