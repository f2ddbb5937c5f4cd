"""Scores of a trained system: of portraits, restyling, view consistency, turntables, and of odd scans of a batch."""
