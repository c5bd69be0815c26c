"""Pictures, tables and the terminal."""
