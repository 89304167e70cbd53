"""The demo: a written conversation (shop.json), played through the real workers and checked."""
