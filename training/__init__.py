"""One training loop; a task module returns named losses."""
