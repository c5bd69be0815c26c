"""One image through the engine: everything decided once, then predicted, labelled and classified."""
