"""Accuracy on a data set that the user has, and the agreement of the frameworks, image by image."""
