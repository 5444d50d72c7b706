"""The package out of a plain clone, where nothing can be installed: the clone's folders are its parts.

PYTHONPATH=cli/clone python -m alexnet_parity.cli record --impl torch --device cuda -o trace.safetensors
"""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parents[3])]
