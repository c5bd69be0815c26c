"""Command lines: values, help texts and calls from typed signatures."""
