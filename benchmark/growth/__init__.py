"""How costs grow: with what waits, is delayed or dead, with consumers, with queues; and what each of these weighs in the store."""
