"""The command line: parse, call a service, render, exit. Nothing here is imported before its command is run."""
