"""SofGAN as a library: labels, cameras, scans, views, faces, the occupancy field, the generator, metrics."""
