"""The OpenAI-compatible HTTP endpoint: keys, routes, admission, streaming, request logs."""
