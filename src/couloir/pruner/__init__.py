"""What ends a trial of a sweep early, when others were better at the same epoch."""
