"""The front door: inbound webhooks, the widget, the API for businesses' servers, and what operators look at."""
