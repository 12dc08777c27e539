"""What runs on a board: built, described, and chosen for one."""
