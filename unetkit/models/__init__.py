"""The network and everything needed to use it again."""
