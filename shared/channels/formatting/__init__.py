"""What a text looks like where it is read. Models write Markdown; a message is stored as written, and converted when it leaves.

`to_whatsapp` gives WhatsApp's own marks, `to_plain` none, `to_html` what the widget's page shows; `completed` closes the marks of
a text that is still being written; `parts` cuts what is too long; `is_plain` knows the texts that have no marks. All are pure: a
text gives the same parts at every attempt, which resuming a long send depends on.

`dialect` says what counts as Markdown here: less than CommonMark, for much of what people write only looks like it.
"""

from shared.channels.formatting.begun import completed
from shared.channels.formatting.html import to_html
from shared.channels.formatting.parts import parts
from shared.channels.formatting.text import is_plain, to_plain, to_whatsapp

__all__ = ["completed", "is_plain", "parts", "to_html", "to_plain", "to_whatsapp"]
