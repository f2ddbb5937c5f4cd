"""Labels for scans that have none: pictures of them are parsed and brought back to the surface."""
