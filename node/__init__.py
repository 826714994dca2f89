"""The running validator: the only long-lived event loop, server and transport of the project."""
