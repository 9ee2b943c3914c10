"""Measuring: workers and clients as processes, phases, turns, and the machine that they run on."""
