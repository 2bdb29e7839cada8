"""What a reader sees of the results: figures for paper and screen, tables for the terminal."""
