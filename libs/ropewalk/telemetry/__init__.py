"""Spans and metrics, and the trace context that travels with every message."""
