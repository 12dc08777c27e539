"""Where things lie in the checkout: its sources, and what is built of them."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
BOARD = BUILD / "board"  # what is copied onto a board
PLAIN = BUILD / "plain"  # the same with the names and line numbers of the sources
SIM = BUILD / "sim"  # the virtual board
SIMS = {"64": SIM, "32": BUILD / "sim32"}  # the same for each interpreter
