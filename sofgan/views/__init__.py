"""Views files: label maps and depths of scans from around the head."""
