"""The command line `ropewalk`: parses, calls the client or the embedded stack, renders. It decides nothing."""
