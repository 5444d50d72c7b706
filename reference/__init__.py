"""What AlexNet is: the paper as data, a float64 oracle, and seeded weights and inputs. Imports no framework."""
