"""Scores of a trained system: portraits, control, restyling, turntables."""
