"""One owner changes the server: topology, backup, snapshots."""
