"""Real processes that are killed, stalled and starved, and what their store says afterwards."""
