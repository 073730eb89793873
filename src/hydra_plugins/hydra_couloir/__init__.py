"""What Hydra finds of Couloir by itself: the sweeper, and the launcher for Ray."""
