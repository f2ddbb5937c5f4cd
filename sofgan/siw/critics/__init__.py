"""What judges painted pictures in a training."""
