"""Networks and layers that several packages use."""
