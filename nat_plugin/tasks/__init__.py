"""fairseq tasks; one module a task."""
