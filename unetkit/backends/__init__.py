"""Runtimes that a model can run on, behind one small interface."""
