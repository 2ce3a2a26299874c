"""Issue → Edition → Message."""
