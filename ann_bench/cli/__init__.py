"""The command line: arguments in, calls out. Nothing heavy is imported until a command runs."""
