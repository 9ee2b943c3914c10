"""The exit codes of every regiment command."""

OK = 0  # done, also after a graceful stop
BAD = 1  # the command ran and the answer is bad
USAGE = 2  # the command line itself is wrong
TARGET = 3  # a target cannot be imported, is no worker, or has no task
STORE = 4  # the store cannot be reached or refuses us
CONFIG = 5  # invalid configuration
PLUGIN = 6  # a plugin is missing, broken or refused
CRASH_LOOP = 7  # the supervisor gave up respawning
KILLED = 8  # the stop timeout ended and running tasks were killed, and given back
