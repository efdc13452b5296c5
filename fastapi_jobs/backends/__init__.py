"""The ways to run jobs, one file each."""
