"""Where work items run: Ray, its workers, and the processes of one trial."""
