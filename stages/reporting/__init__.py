"""The report's page: what is shown, how it is drawn, what is said of it."""
