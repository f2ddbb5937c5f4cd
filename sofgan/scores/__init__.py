"""Scores of label maps and pictures: they know no model of ours."""
