"""Scores of label maps and pictures: segmentation, distances of features, nearest neighbors, intervals.

They know no model of ours.
"""
