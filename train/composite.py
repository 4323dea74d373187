"""Supervised fine-tuning with three more terms: the meaning of the source kept, no other meaning, and not in the source's words.

    loss = cross entropy + semantic · L_s + equivalence · L_e + diversity · L_d

L_s  InfoNCE (van den Oord et al. 2018, arXiv:1807.03748, eq. 4) on hidden states: what the answer is predicted from, h (mean over the answer
     of the last hidden states that the head reads), against the sources of the batch as the frozen base reads them, s (mean over the
     source's tokens, no gradient): −log exp(cos(h_i, s_i)/τ) / Σ_j exp(cos(h_i, s_j)/τ), with τ of SimCSE (Gao et al. 2021,
     arXiv:2104.08821). Contrasted and not a bare cosine, because in a language model all states are alike: on the embedded base a rewording's
     cosine with its own source is .86, with another's .74.
L_e  the gold answer against one that is known to say another thing (a domain's `negatives`), by the mean log-likelihood of a token:
     −log σ(β (log p(gold)/|gold| − log p(wrong)/|wrong|) − γ), which is SimPO (Meng et al. 2024, arXiv:2405.14734, eq. 6). The wrong answer
     is teacher-forced in the gold's own row, behind the same prompt, and blind to the gold.
L_d  unlikelihood (Welleck et al. 2019, arXiv:1908.04319, eq. 4): −Σ log(1 − p(c)) over the tokens c that would go on copying an
     n-gram of the source which the gold does not contain.

None looks at sampled text: nothing there has a gradient. All are teacher-forced, on the gold's prefix. With all weights 0 this is `sft`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from pydantic import Field

from train import contrast, distributed, methods, network, sft
from train.data import IGNORED
from train.loss import hidden_states
from train.methods import Job, Trained
from truemark.errors import InvalidConfig

DATA = "train.jsonl"


class Options(methods.Options):
    """Weights of the terms, 0 for one that is not wanted and then costs nothing; and their constants."""

    semantic: float = Field(0.2, ge=0)
    """Weight of L_s, semantic preservation."""
    equivalence: float = Field(0.5, ge=0)
    """Weight of L_e, logical equivalence."""
    diversity: float = Field(0.5, ge=0)
    """Weight of L_d, syntactic diversity."""
    temperature: float = Field(0.05, gt=0)
    """τ of L_s."""
    beta: float = Field(5.0, gt=0)
    """β of L_e: how sharply a difference of log-likelihoods counts, per nat a token."""
    margin: float = Field(1.0, ge=0)
    """γ of L_e; β times the nats a token that the gold should be ahead by."""
    ngram: int = Field(2, ge=1, le=8)
    """n of L_d."""

    @property
    def terms(self) -> bool:
        """Whether there is anything beside the cross entropy."""
        return bool(self.semantic or self.equivalence or self.diversity)


def train(job: Job) -> Trained:
    """Run the recipe; as `sft.train`, which it is where all weights are 0.

    Raises InvalidConfig for packed rows, InvalidData for rows that the terms cannot be made of.
    """
    options: Options = job.options(Options)
    if not options.terms:
        return sft.train(job)
    recipe = job.recipe
    if recipe.data.packing:
        raise InvalidConfig(
            "data.packing: the composite loss lays out a row by itself", mend="--set data.packing=false"
        )
    if options.semantic and distributed.rows_each(recipe) < 2:
        raise InvalidConfig(
            "options.semantic contrasts the rows of a part: batch_size / accumulate / devices must be 2 or more"
        )
    tokenizer = network.load_tokenizer(job.base, job.domain.SYSTEM_PROMPT, recipe.data.special_tokens)
    examples = contrast.contrasted(
        job.rows, tokenizer, job.domain, recipe.seed,
        wrong=options.equivalence > 0, ngram=options.ngram if options.diversity else 0,
    )  # fmt: skip
    found, steps = sft.lay_out(job, examples)
    ordered = cast("list[contrast.Contrasted]", found)
    columns = contrast.columns(ordered)
    _refuse_windows(
        job, max(len(row.ids) + len(wrong) for row, wrong in zip(ordered, columns["negative"], strict=True))
    )
    loss = partial(composite_loss, options=options, examples=recipe.optim.batch_size, share=sft.can_share(recipe))
    trained = sft.fit(job, ordered, steps, tokenizer, loss, more=columns, collator=contrast.collate_contrasted)
    trained.report["negatives"] = sum(map(bool, columns["negative"]))
    trained.report["negative_tokens"] = sum(map(len, columns["negative"]))
    trained.report["copies"] = sum(map(len, columns["copied"]))
    return trained


def _refuse_windows(job: Job, longest: int) -> None:
    """Two answers behind one prompt need a mask of their own, which has no sliding window."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(job.base.local_path(), trust_remote_code=False).get_text_config()
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if window and longest > window:
        raise InvalidConfig(
            f"a row with its wrong answer has {longest} tokens, {job.recipe.base} attends to the last {window}",
            mend="lower data.max_length, or set options.equivalence to 0",
        )


def composite_loss(
    model: Any, batch: dict[str, Any], items: Any = None, *, options: Options, **arguments: Any
) -> tuple[Any, dict[str, Any]]:
    """The weighted sum, and each term by itself before its weight; arguments as of `loss_terms`."""
    terms = loss_terms(model, batch, items, options=options, **arguments)
    weights = {"ce": 1.0, **options.model_dump(include={"semantic", "equivalence", "diversity"})}
    total = sum(weights[name] * term for name, term in terms.items())
    return total, {name: term.detach() for name, term in terms.items()}


def loss_terms(
    model: Any,
    batch: dict[str, Any],
    items: Any = None,
    *,
    options: Options,
    examples: int | None = None,
    share: bool = True,
) -> dict[str, Any]:
    """Cross entropy `ce` and each term whose weight is not 0, in nats; `batch` as `contrast.collate_contrasted` makes it.

    Cross entropy and L_d are means over `items`, the labelled tokens of the step; L_s and L_e over its `examples` (an example without a
    negative counts 0): by default those of this batch. So the parts of a step add up to it, though L_s contrasts within a part.
    """
    read = _read(model, batch, share)
    count = len(batch["labels"])
    tokens = read.gold if items is None else items
    parts = count if examples is None or items is None else examples
    terms = {"ce": -read.likelihood[: read.gold].sum() / tokens}
    if options.semantic:
        answers = _means(read.states[: read.gold], read.rows, count)
        terms["semantic"] = alignment(answers, _sources(model, batch), options) / parts
    if options.equivalence:
        terms["equivalence"] = preference(_ahead(read, batch)[read.contrasted], options) / parts
    if options.diversity:
        at = batch["copied_index"]
        terms["diversity"] = unlikelihood(read.logits[at, batch["copied_token"]] - read.total[at]) / tokens
    return terms


def ahead(model: Any, batch: dict[str, Any]) -> Any:
    """Nats a token by which each answer of a batch is likelier than the wrong one in its row, `[B]`."""
    return _ahead(_read(model, batch, share=True), batch)


@dataclass(frozen=True)
class _Read:
    """What a model says where something is asked of it: N tokens, those of the answers first, then those of the wrong ones."""

    states: Any
    """Last hidden states `[N, d]`."""
    logits: Any
    """`[N, V]`, in fp32 or more."""
    total: Any
    """Their log-sum-exp `[N]`."""
    likelihood: Any
    """Log-likelihood of the tokens `[N]`."""
    rows: Any
    """Row of each token of an answer, int64 `[gold]`."""
    gold: int
    contrasted: Any
    """Rows that have a wrong answer, int64."""


def _read(model: Any, batch: dict[str, Any], share: bool) -> _Read:
    import torch

    network_ = model.get_base_model()
    mask = _additive(batch["mask"], network_.dtype) if "mask" in batch else None
    states, shared = hidden_states(model, batch, share=share, mask=mask)
    wanted = batch["labels"][:, shared + 1 :]
    keep = wanted != IGNORED
    rows = keep.nonzero()[:, 0]
    read, targets = states[:, :-1][keep], wanted[keep]
    if mask is not None:
        read = torch.cat([read, states[batch["negative_row"], batch["negative_from"] - shared]])
        targets = torch.cat([targets, batch["negative_token"]])
    logits = network_.lm_head(read)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    total = logits.logsumexp(-1)
    likelihood = logits.gather(1, targets[:, None])[:, 0] - total
    contrasted = rows[:0] if mask is None else batch["negative_row"].unique()
    return _Read(read, logits, total, likelihood, rows, len(rows), contrasted)


def _ahead(read: _Read, batch: dict[str, Any]) -> Any:
    count = len(batch["labels"])
    right = _means(read.likelihood[: read.gold], read.rows, count)
    if not len(read.contrasted):
        return right * 0
    return right - _means(read.likelihood[read.gold :], batch["negative_row"], count)


def alignment(answers: Any, sources: Any, options: Options) -> Any:
    """L_s summed over rows: `answers` and `sources` `[B, d]`, row by row of one example."""
    import torch

    unit = partial(torch.nn.functional.normalize, dim=-1)
    cosines = unit(answers) @ unit(sources).T
    cosines = cosines.to(torch.promote_types(cosines.dtype, torch.float32)) / options.temperature
    return torch.nn.functional.cross_entropy(
        cosines, torch.arange(len(cosines), device=cosines.device), reduction="sum"
    )


def preference(ahead: Any, options: Options) -> Any:
    """L_e summed over rows: `ahead` `[B]`, nats a token by which the gold is likelier."""
    import torch

    return -torch.nn.functional.logsigmoid(options.beta * ahead - options.margin).sum()


def unlikelihood(likelihood: Any) -> Any:
    """L_d summed over candidates, from their log-likelihoods: −log(1 − p), exact near p = 0 and near p = 1."""
    import torch

    below = likelihood.clamp(max=-1e-6)  # p = 1 would be an infinite loss
    near = below > -0.693
    # either side of the choice gets a number that it can differentiate
    high = torch.log(-torch.expm1(torch.where(near, below, below.new_tensor(-0.5))))
    low = torch.log1p(-torch.exp(torch.where(near, below.new_tensor(-1.0), below)))
    return -torch.where(near, high, low).sum()


def _means(values: Any, rows: Any, count: int) -> Any:
    """Mean of `values` `[N, …]` over each of `count` rows; 0 where a row has none."""
    import torch

    size = torch.bincount(rows, minlength=count).clamp(min=1)
    sums = values.new_zeros(count, *values.shape[1:]).index_add(0, rows, values)
    return sums / size.view(-1, *[1] * (values.dim() - 1))


def _sources(model: Any, batch: dict[str, Any]) -> Any:
    """Mean of the last hidden states over each source, `[B, d]`, as the base reads it: no adapter, no dropout, no noise, no gradient."""
    import torch

    training = model.training
    model.eval()
    with torch.no_grad(), model.disable_adapter():
        states = model.get_base_model().model(input_ids=batch["source_ids"], use_cache=False).last_hidden_state
    model.train(training)
    keep = batch["source_mask"]
    return _means(states[keep], keep.nonzero()[:, 0], len(keep))


def _additive(see: Any, dtype: Any) -> Any:
    import torch

    return torch.zeros(see.shape, dtype=dtype, device=see.device).masked_fill(~see, torch.finfo(dtype).min)
