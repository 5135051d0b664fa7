"""Language models: architecture, optimizer, schedule, weights on disk, scoring. Knows torch and nothing of ours.

Import the modules directly; this package imports nothing, so that a service process stays light.
"""
