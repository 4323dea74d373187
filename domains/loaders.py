"""Public sets that become examples of a domain: DOMAIN/SET → `module:load(source, split)`, read when it is asked for."""

LOADERS = {
    "asp/llasp": "domains.asp.llasp:load",
    "rewording/natural-reasoning": "domains.rewording.natural_reasoning:load",
}
