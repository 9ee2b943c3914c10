"""The command line: options that all verbs share, verbs as offers of plugins, how data are shown, and finding an application."""
