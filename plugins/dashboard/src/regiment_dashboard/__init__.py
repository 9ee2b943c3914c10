"""The dashboard: pages that show what the queues of a store do, and forms with which an operator acts."""
