"""Segmentation scores, Frechet and kernel distances, control and consistency scores."""
