"""The verbs: one function for each, whose signature is the options of its command. Heavy imports happen inside."""
