"""What makes a run fast within its memory: device, plan, timing, int8."""
