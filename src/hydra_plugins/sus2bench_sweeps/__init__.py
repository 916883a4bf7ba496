"""What sus2bench adds to Hydra: sweepers that know what has been run, and a launcher.

Hydra looks for plugins in this package's parent and loads all of them with every command: nothing
heavy is imported at the top of its files.
"""
