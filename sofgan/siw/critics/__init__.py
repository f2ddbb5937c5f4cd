"""Critics: networks that judge painted pictures in a training."""
