"""The outside world on one port: an OpenAI-compatible AI, Meta's Graph API, QR gateways, a customer's endpoint."""
