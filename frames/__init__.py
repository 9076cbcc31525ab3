"""What happens to pictures before and after the model."""
