"""The files that people write, read and checked: a manifest, its prompts, SQL and schemas, as frozen stages."""
