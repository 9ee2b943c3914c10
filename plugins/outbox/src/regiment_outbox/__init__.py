"""What outboxes share: pushes as rows of a table (`rows`), the table in SQL (`table`), and the relay (`relay`)."""
