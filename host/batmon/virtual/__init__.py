"""The virtual board: the board's own code on this computer, for simulation and pictures."""
