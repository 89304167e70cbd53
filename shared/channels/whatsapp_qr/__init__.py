"""WhatsApp by QR code: a gateway service holds the session of a real phone.

Each kind of gateway speaks a dialect, which is one module: waha, evolution. It verifies the gateway's webhooks, sends, asks for a
session's state, and says what the gateway's errors do to a send; its `…_events` parse what webhooks report. Both pass on messages
as WhatsApp Web has them: `unwrap` looks into them, `web_messages` reads them, `web_kinds` each kind of them, `waha_content` what
WAHA makes of them; `content` is what was read, and `messages` makes it an inbound item. `dialects` names the dialects, `gateway`
has what both APIs share, `ids` the ids of messages, `verify` finds the secret of a webhook, `session` keeps whether a phone is
connected, `acks` whether replies are acknowledged. `files` says what gateways take of files, `uploads` puts one into a request.
What belongs here: whatever is true of QR gateways only.
What does not: Meta's Cloud API (whatsapp_cloud), the bookkeeping of a send (shared/channels/sending.py).
It may import what shared/channels may. Used by workers/whatsapp_qr.py and web/hooks/whatsapp_qr.py.
"""
