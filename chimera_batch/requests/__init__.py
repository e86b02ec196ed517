"""A row into the bytes that a provider is sent: rendered, identified, kept, packed."""
