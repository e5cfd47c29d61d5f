"""Training: one loop, callbacks, checkpoints."""
