"""Codes and cameras of single label maps (paper, section 6.2)."""
