"""The command line: one module a group of commands, each of which imports late what it needs."""
