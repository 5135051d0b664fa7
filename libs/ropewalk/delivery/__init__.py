"""One message to one handler: settle it, count its failures, set it aside."""
