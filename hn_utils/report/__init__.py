"""What is shown of results: figures, their gallery, the explorer, the report."""
