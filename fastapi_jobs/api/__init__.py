"""The HTTP API: one file per topic, put together in `router`."""
