"""What is said and read: connection, publish, read, pull, schedules, dead letters. No handler and no stage here."""
