"""Grades of different scales: kept as they were given, and brought to one scale by a model that was fitted on both."""
