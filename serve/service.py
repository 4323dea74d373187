"""What the endpoints share: the served model by name, and a request's sampling as generations for the engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serve.catalog import Catalog, ServedModel
from serve.engines.base import Ability, Generation, Piece
from serve.observe.record import measured
from serve.protocol import ApiError, Sampling
from serve.supervisor import Supervisor


@dataclass(frozen=True)
class Service:
    """Answers requests with the models of a catalog."""

    catalog: Catalog
    supervisor: Supervisor

    def model(self, name: str) -> ServedModel:
        """The served model of that name. Raises ApiError 404 with the list."""
        if name not in self.catalog.models:
            known = ", ".join(self.catalog.models)
            raise ApiError(404, f"no model '{name[:100]}': served are {known}", param="model", code="model_not_found")
        return self.catalog.models[name]

    def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        """The one seam to the engine, measured."""
        model = generation.adapter or self.catalog.base.name
        return measured(model, len(generation.prompt_ids), self.supervisor.generate(generation))

    def room(self, ids: Sequence[int], param: str) -> int:
        """Tokens that an answer to a prompt may have. Raises ApiError 400 when it leaves none."""
        context = self.supervisor.engine.info.context
        if len(ids) >= context:
            raise ApiError(
                400,
                f"the {param} {'are' if param == 'messages' else 'is'} {len(ids)} tokens long; prompt and answer "
                f"together may have {context}",
                param=param,
                code="context_length_exceeded",
            )
        return context - len(ids)

    def generations(
        self,
        request: Sampling,
        model: ServedModel,
        ids: Sequence[int],
        max_tokens: int,
        *,
        top_logprobs: int | None = None,
        json_schema: Mapping[str, Any] | None = None,
    ) -> list[Generation]:
        """One generation per choice. Raises ApiError 400 for what the engine lacks."""
        presence, frequency = request.presence_penalty or 0.0, request.frequency_penalty or 0.0
        self._require("penalties", "presence_penalty" if presence else "frequency_penalty", presence or frequency)
        self._require("logprobs", "logprobs", top_logprobs is not None)
        self._require("json_schema", "response_format", json_schema is not None)
        return [
            Generation(
                prompt_ids=ids,
                adapter=model.adapter,
                max_tokens=max_tokens,
                temperature=1.0 if request.temperature is None else request.temperature,
                top_p=1.0 if request.top_p is None else request.top_p,
                seed=None if request.seed is None else request.seed + choice,
                stop=request.stops,
                presence_penalty=presence,
                frequency_penalty=frequency,
                top_logprobs=top_logprobs,
                json_schema=json_schema,
            )
            for choice in range(request.n or 1)
        ]

    def _require(self, ability: Ability, param: str, wanted: object) -> None:
        engine = self.supervisor.engine
        if wanted and ability not in engine.info.abilities:
            raise ApiError(
                400, f"{param}: the engine '{engine.name}' does not have it", param=param, code="unsupported"
            )
