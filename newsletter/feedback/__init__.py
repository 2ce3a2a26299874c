"""What comes back: bounces, complaints."""
