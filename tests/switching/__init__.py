"""One line of the settings changes where jobs run, and nothing else."""
