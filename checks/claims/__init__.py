"""The paper on trial: a check for each claim, giving a verdict and its evidence."""
