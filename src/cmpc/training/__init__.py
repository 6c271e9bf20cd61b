"""Training: the recipe, losses, schedules, checkpoints."""
