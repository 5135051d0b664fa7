"""One module per command or group of commands: it reads options, asks one library, and prints."""
