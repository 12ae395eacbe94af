"""Other tools on a recording: their own loops, in environments of their own."""
