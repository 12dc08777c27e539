# Packs the full shard of a folder as the board's start for that does: run by bench/packing.py
# Arguments: the built board tree, the folder.
import sys

sys.path[:] = [sys.argv[1], sys.argv[1] + "/lib", ".frozen"]

from clock import Clock

from shards import packing, recovery
from shards.folder import Shards

shards = Shards(sys.argv[2], Clock())
shards.name = "jk_pak01"
recovery.recover(shards, recovery.Found())
if len(sys.argv) > 3:  # all but the packing
    shards.unsealed = []
packing.pack(shards, lambda percent: None)
print(shards.kept)
