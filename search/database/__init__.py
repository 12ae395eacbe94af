"""Studies in a PostgreSQL database."""
