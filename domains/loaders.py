"""Public sets that become examples of a domain: DOMAIN/SET → `module:load(source, split)`, read when it is asked for."""

LOADERS: dict[str, str] = {}
