"""labctl: a real high-availability cluster lab from one command."""

__version__ = "0.1.0"
