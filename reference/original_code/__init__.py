"""The authors' own 2012 configurations and run notes: parsed from a clone of the museum's release, or as recorded."""
