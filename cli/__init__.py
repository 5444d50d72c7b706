"""The command `alexnet-parity`."""
