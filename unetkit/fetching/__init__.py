"""Files from a network: fetched once, checked, and kept for later without one."""
