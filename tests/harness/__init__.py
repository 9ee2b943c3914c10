"""Trees of real processes, applications for them, and an account of what they did; see `docs/guarantees.md`.

site    the ground of one test: a store, an application's folder, a ledger      apps    the application's text
ledger  what producers and workers wrote down, and the oracles L0, L1, D, O     tree    a supervisor as a process
store   the store as the test sees it: counts, dead letters, payloads           wait    waiting with a deadline
losing  a connector that wraps another and loses answers                        scale   how many seeds, how many kills
"""
