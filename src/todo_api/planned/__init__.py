"""FastAPI endpoints whose work is planned once, at start-up."""
