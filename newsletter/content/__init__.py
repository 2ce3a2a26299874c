"""What an editor wrote → Issue."""
