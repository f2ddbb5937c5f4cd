"""Scores of a trained system: distances and control of portraits, restyling, turntables, odd scans of a batch."""
