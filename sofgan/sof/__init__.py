"""The semantic occupancy field: hypernetwork, field, ray marchers, training, inversion, the geometric space."""
