"""What the preview shows: looks of a mail, what a screen reader says, weights, comparisons."""
