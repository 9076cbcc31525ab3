"""Scripts that make weights: run with accelerate, not published."""
