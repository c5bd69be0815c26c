"""Images with masks, labels or probabilities over them, in the browser: levels of resolution, layers, and the server."""
