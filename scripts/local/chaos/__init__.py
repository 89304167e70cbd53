"""The laboratory of `scripts/chaos`: a load, the harm done to it, and the audit afterwards."""
