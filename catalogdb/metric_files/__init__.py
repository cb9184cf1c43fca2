"""Files with metrics by step or epoch that training leaves beside checkpoints. Each is read once for all of them."""
