"""What worker, keeper and supervisor share: the page, signals and marks of processes, and how they speak to each other."""
