"""WhatsApp by Meta's Cloud API.

webhook (is it Meta's, whose number is it for, and what does its body say), send (one call of the Graph API), send_file (a file's
upload, and the message that names it), files (which ones Meta takes), errors (what Meta's error codes do to a send: the table to
edit).
What belongs here: whatever is true of Meta's Cloud API only.
What does not: WhatsApp by QR code (whatsapp_qr), the bookkeeping of a send (shared/channels/sending.py).
It may import what shared/channels may. Used by workers/whatsapp_cloud.py and web/hooks/whatsapp_cloud.py.
"""
