"""AlexNet in each framework, one file each. A module is an implementation if it has `build(network, params)`."""

import sys
from typing import Any

# Importing openvino sends word of it over the network, from a process that it forks, and keeps an identity in the user's home,
# asking nobody (openvino/tools/ovc/__init__.py, lines 16 and 17). Without this package it goes on in silence.
silenced: dict[str, Any] = sys.modules
silenced.setdefault("openvino_telemetry", None)
