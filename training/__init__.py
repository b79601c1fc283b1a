"""One training loop for everything that is trained: a task module returns named losses, the loop does the rest.

The rest is: averaged weights, early stopping, gradient accumulation, several processes, and checkpoints from which a
killed training goes on to the same bits. The students' imitation and ELBO phase, the teacher's adaptation and the
baselines differ in their task, their images and their settings only.
"""
