"""The loops: one file each; run it, cancel it, nothing else."""
