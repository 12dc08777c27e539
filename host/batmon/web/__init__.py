"""The page that `batmon report` writes."""
