"""The doors to Triton for clients that speak its own protocols: a key is asked for, and only models may be asked.

Loading, tracing, logging and shared memory have no way in: Triton itself cannot tell who asks.
"""
