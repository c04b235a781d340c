"""The web server: granian's Rust engine parses HTTP, an event loop reads whole requests, threads run Django."""
