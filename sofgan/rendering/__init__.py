"""Triangles to label, depth and color pictures through pyrender."""
