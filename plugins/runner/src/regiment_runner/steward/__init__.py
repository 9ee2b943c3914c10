"""What runs beside the keeper of a tree: the steward, one process for all duties, and a process for each server."""
