"""What is wrong with a deployment, from what its bus and its services say. It knows no process and no file."""
