"""One module per outside system: Triton (server, client, repository, backend), HTTP, the request log."""
