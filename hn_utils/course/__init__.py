"""What belongs to the course: checks of its exercises, and the notebooks' copies with gaps."""
