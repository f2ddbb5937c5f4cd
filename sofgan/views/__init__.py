"""Rendering label maps and photos of scans; the multi-view dataset on disk."""
