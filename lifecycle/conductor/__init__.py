"""What watches versions beside the answering: shadow, canary, drift. Each is a module that a worker takes in."""
