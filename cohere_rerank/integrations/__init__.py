"""The client inside other engines: one module each, imported by name, none of them before it is asked for."""
