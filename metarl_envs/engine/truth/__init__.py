"""The ground truth, which follows from the hidden task: exact values, posteriors, regret."""
