"""The daemon's sockets: their files, the clients they accept, and who a client is."""
