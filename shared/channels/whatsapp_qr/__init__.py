"""WhatsApp by QR code: a gateway service holds the session of a real phone.

Each kind of gateway speaks a dialect, which is one module: waha, evolution. It verifies and parses the gateway's webhooks, sends,
asks for a session's state, and says what the gateway's errors do to a send. `dialects` names them, `gateway` has what they share,
`verify` finds the secret of a webhook, `session` keeps whether a phone is connected.
What belongs here: whatever is true of QR gateways only.
What does not: Meta's Cloud API (whatsapp_cloud), the bookkeeping of a send (shared/channels/sending.py).
It may import what shared/channels may. Used by workers/whatsapp_qr.py and web/hooks/whatsapp_qr.py.
"""
