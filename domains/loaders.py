"""Public sets that become examples of a domain: DOMAIN/SET → `module:load(source, split)`, read when it is asked for."""

LOADERS = {
    "math/gsm8k": "domains.math.gsm8k:load",
    "math/math": "domains.math.competition:load",
    "math/natural-reasoning": "domains.math.natural_reasoning:load",
    "asp/llasp": "domains.asp.llasp:load",
    "rewording/natural-reasoning": "domains.rewording.natural_reasoning:load",
}
