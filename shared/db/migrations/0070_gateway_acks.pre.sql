-- A gateway that says its session is connected, and sends nothing, is noticed by what it does not acknowledge.
alter table whatsapp_qr_session add column acked_at timestamptz;
