"""The foundation of all other folders. It imports nothing else of unetkit."""
