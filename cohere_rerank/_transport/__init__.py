"""All I/O of the client: connections, sockets, one HTTP exchange, and the errors that they raise."""
