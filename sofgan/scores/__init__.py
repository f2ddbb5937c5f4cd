"""Scores of label maps and pictures: segmentation, Frechet and kernel distances. They know no model of ours."""
