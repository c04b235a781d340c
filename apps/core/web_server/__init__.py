"""The web server: granian's Rust engine reads requests, an event loop takes them whole, threads run Django."""
