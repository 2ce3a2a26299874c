"""The watch: feeds → examples."""
