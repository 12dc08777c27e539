"""Reading the log of a board: shards, their time, tables and figures; knows no board."""
