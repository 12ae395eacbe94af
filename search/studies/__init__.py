"""A study on disk or in a database: its folder, log, lock and records."""
