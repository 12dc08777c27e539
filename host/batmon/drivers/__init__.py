"""Translates the drivers of the pinned aiobmsble into MicroPython source for the board."""
