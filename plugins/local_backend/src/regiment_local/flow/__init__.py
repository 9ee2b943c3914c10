"""The extra `flow` in the file: tickets, budgets, turns and unique keys; see `docs/sqlite.md`.

layout     tables                 spots      a budget: its rule, its rate, its gate
batch      one exchange
counting → moving → leasing: the state of one queue within one transaction, and what moves its tasks
uniques    keys                   admitting, ruling, hand: what the verbs do
"""
