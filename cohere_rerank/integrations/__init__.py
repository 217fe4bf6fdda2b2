"""The client inside distributed engines. Each engine has its own module, which is imported only by name."""
