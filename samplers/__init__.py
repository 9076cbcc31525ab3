"""What happens across model calls."""
