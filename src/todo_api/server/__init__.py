"""The HTTP server: uvicorn, hardened for a public port."""
