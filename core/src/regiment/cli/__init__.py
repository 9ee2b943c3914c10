"""The verbs of the command line, one module each, loaded when used; each exports `command`."""
