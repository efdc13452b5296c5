"""The parts of `BackendConformance`: its tasks, its app, its gates. They do not need pytest."""
