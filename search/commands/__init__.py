"""What each command does; `search.cli` only reads its arguments."""
