"""The commands of `gan-lab`, one short file each."""
