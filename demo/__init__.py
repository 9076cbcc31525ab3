"""The embedded default: everything the pack needs to run on a CPU without anybody's weights."""
