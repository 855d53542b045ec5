"""The writer's commands, by noun."""
