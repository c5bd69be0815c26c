"""Images with masks, labels or probabilities over them, in the browser: levels, layers and the server."""
