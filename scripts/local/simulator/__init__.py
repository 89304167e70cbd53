"""The outside world, simulated on one port: an OpenAI-compatible AI, Meta's Graph API, QR gateways, customers' endpoints."""
