"""Talking to a board over its serial port: installing onto it, fetching its log."""
