"""Fast runs within the memory: device, plan, timing, int8."""
