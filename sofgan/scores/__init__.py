"""Scores of label maps and pictures: segmentation, distances of features, nearest neighbours, their intervals. They know
no model of ours."""
