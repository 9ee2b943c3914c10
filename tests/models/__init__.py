"""Small models of what the stores do, explored completely: each says which rule it needs, and shows what happens without it."""
