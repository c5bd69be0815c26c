"""Models to other runtimes, zoos and hubs: a module for each form, and a table of them."""
