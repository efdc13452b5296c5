"""The example project, started as a reader would start it."""
