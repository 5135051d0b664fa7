"""The exit codes of `ropewalk` beside 0 (well) and 1 (bad news about what was looked at)."""

USAGE = 2  # wrong use, or what was asked for cannot be done
INTERRUPTED = 130  # as a shell says it of SIGINT
