"""Single stores in depth, each beside its bare loop: every module is a script of its own."""
