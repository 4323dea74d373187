"""The tokenizer and the PEFT model that a recipe asks for, on the device at hand; and how they are saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train import distributed, engines
from truemark import adapters, chat, compute
from truemark.console import say
from truemark.errors import InvalidConfig
from truemark.models import ModelRef
from truemark.recipe import Recipe

if TYPE_CHECKING:
    import torch


def load_tokenizer(base: ModelRef, system_prompt: str, special_tokens: list[str] | None = None) -> Any:
    """The base's tokenizer with the domain's system prompt in its chat template, and the recipe's tokens in its vocabulary."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.local_path(), trust_remote_code=False)
    tokenizer.chat_template = chat.with_default_system(chat.read_template(base.local_path()), system_prompt)
    if special_tokens:
        tokenizer.add_special_tokens({"additional_special_tokens": special_tokens}, replace_extra_special_tokens=False)
    if (end := _end_of_turn(tokenizer, base)) is not None:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    return tokenizer


def _end_of_turn(tokenizer: Any, base: ModelRef) -> int | None:
    """The end token that the template closes an answer with, where it is not the tokenizer's own; None where it is, or there is none.

    Llama 3's first release names `<|end_of_text|>` as eos and closes turns with `<|eot_id|>`: generation_config.json lists both.
    """
    from transformers import GenerationConfig

    talk = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    ids = tokenizer(tokenizer.apply_chat_template(talk, tokenize=False), add_special_tokens=False)["input_ids"]
    if tokenizer.eos_token_id in ids or not (base.local_path() / "generation_config.json").is_file():
        return None
    named = GenerationConfig.from_pretrained(base.local_path()).eos_token_id
    ends = set(named if isinstance(named, list) else [named])
    return next((token for token in reversed(ids) if token in ends), None)


def load(recipe: Recipe, base: ModelRef, tokenizer: Any, start: ModelRef | None = None) -> Any:
    """The PEFT model, its adapter trainable: a new one, or `start`'s. Seeds every generator first.

    Raises InvalidConfig for more layers than there are, and for LoRA arguments that PEFT refuses (`engines.require` has looked for libraries).
    """
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    if recipe.run.engine == "mlx":
        raise InvalidConfig(f"run.engine: mlx does not go with method {recipe.method}", mend="--set run.engine=auto")
    compute.prepare()
    device, dtype = compute.device(), precision(recipe)
    say(describe(recipe))
    set_seed(recipe.seed)
    if engines.unsloth(recipe):
        return engines.load_with_unsloth(recipe, base, dtype)
    options: dict[str, Any] = {"dtype": dtype}
    if recipe.run.quantize != "none":
        options |= {"quantization_config": _quantization(recipe, dtype), "device_map": {"": device}}
    if start is not None:
        model: Any = adapters.load(base.local_path(), start.local_path(), trainable=True, **options)
        return _prepared(model, recipe)
    network = adapters.plain(base.local_path(), **options)
    config = lora_config(recipe, network)
    if recipe.data.special_tokens:
        if len(tokenizer) > network.get_input_embeddings().weight.shape[0]:
            network.resize_token_embeddings(len(tokenizer))
        new = tokenizer.convert_tokens_to_ids(recipe.data.special_tokens)
        tied = network.get_output_embeddings().weight is network.get_input_embeddings().weight
        # a head of its own has rows of its own for them: left as they were made, the model could read the tokens but never write them
        config.setdefault("trainable_token_indices", {"embed_tokens": new, **({} if tied else {"lm_head": new})})
    try:
        return get_peft_model(_prepared(network, recipe), LoraConfig(**config))
    except ValueError as error:  # PEFT's word for arguments that do not go together, and for modules that are not there
        raise InvalidConfig(f"recipe {recipe.name}, section lora: {str(error).splitlines()[0][:300]}") from None


def lora_config(recipe: Recipe, network: Any) -> dict[str, Any]:
    """`Recipe.lora_config` for this network. PEFT takes chosen layers with named modules only: `all-linear` is spelled out for them."""
    import torch

    config = recipe.lora_config(network.config.get_text_config().num_hidden_layers)
    if "layers_to_transform" in config and config["target_modules"] == "all-linear":
        head = network.get_output_embeddings()
        linear = [n for n, m in network.named_modules() if isinstance(m, torch.nn.Linear) and m is not head]
        config["target_modules"] = sorted({name.rpartition(".")[2] for name in linear})
    return config


def precision(recipe: Recipe) -> torch.dtype:
    """The number type of the base's weights and of the activations; LoRA's own weights are kept in fp32."""
    import torch

    chosen = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return chosen.get(recipe.run.precision) or compute.training_dtype(compute.device())


def describe(recipe: Recipe) -> str:
    """What the run will use, in a line."""
    import torch

    device = compute.device()
    words = f"training on {device} in {str(precision(recipe)).removeprefix('torch.')}"
    if recipe.run.quantize != "none":
        words += f", base in {recipe.run.quantize} (bitsandbytes)"
    if device == "cuda":
        reason = engines.why_not_unsloth(recipe)
        words += ", through Unsloth" if reason is None else f", through transformers ({reason})"
    return words + (
        f", {torch.get_num_threads()} threads"
        if device == "cpu"
        else f" ({torch.get_device_module().get_device_name()})"
        if device == "cuda"
        else ""
    )


def _quantization(recipe: Recipe, dtype: Any) -> Any:
    from transformers import BitsAndBytesConfig

    if recipe.run.quantize == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    # NF4 with double quantization, as in QLoRA (Dettmers et al. 2023, section 3)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def _prepared(model: Any, recipe: Recipe) -> Any:
    if recipe.run.quantize != "none":
        from peft import prepare_model_for_kbit_training

        return prepare_model_for_kbit_training(model, use_gradient_checkpointing=recipe.run.gradient_checkpointing)
    if recipe.run.gradient_checkpointing:
        model.enable_input_require_grads()
    return model


def save(model: Any, tokenizer: Any, recipe: Recipe, base: ModelRef, path: Path) -> None:
    """PEFT's files, the tokenizer with its template, and a README, into directory `path`: by the main process, with the others' help."""
    from transformers import AutoConfig

    whole = distributed.whole(model)
    if not distributed.main():
        return
    model.peft_config["default"].base_model_name_or_path = recipe.base  # the reference, not a path of this machine
    rows = AutoConfig.from_pretrained(base.local_path(), trust_remote_code=False).get_text_config().vocab_size
    weights = {
        name: weight.half() if recipe.run.save == "fp16" and ".lora_" in name else weight
        for name, weight in whole.items()
    }
    # `auto` would look the base up on the Hub; embeddings are saved whole only where rows are new that no trained token replaces
    new_rows = _has_untrained_rows(model, rows)
    model.save_pretrained(path, state_dict=weights, safe_serialization=True, save_embedding_layers=new_rows)
    tokenizer.save_pretrained(path)
    words = path / "tokenizer.json"
    if words.is_file():  # indented, it would be more than half of a small adapter's bytes
        found = json.loads(words.read_text(encoding="utf-8"))
        words.write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    write_readme(recipe, path)


def write_readme(recipe: Recipe, path: Path) -> None:
    """What the adapter in directory `path` is, in a few lines."""
    (path / "README.md").write_text(
        f"# {recipe.name}\n\nA LoRA adapter (rank {recipe.lora.rank}) for `{recipe.base}`, domain `{recipe.domain}`, made by "
        "Truemark. `truemark.json` says from what, `training.json` how.\n"
        + (
            f"\nThe base was held in {recipe.run.quantize} while it was trained; the adapter goes onto the full-precision one.\n"
            if recipe.run.quantize != "none"
            else ""
        ),
        encoding="utf-8",
    )


def _has_untrained_rows(model: Any, rows: int) -> bool:
    """Whether embedding or head have rows beyond the base's that are in no `trainable_token_indices`: only a whole matrix would keep those."""
    new = set(range(rows, model.get_input_embeddings().weight.shape[0]))
    trained = model.peft_config["default"].trainable_token_indices or {}
    trained = trained if isinstance(trained, dict) else {"embed_tokens": trained}
    # not by comparing weights: PEFT's wrapper of trained tokens makes a new tensor at every look
    tied = model.get_base_model().config.get_text_config().tie_word_embeddings
    headless = model.get_output_embeddings() is None
    names = ["embed_tokens"] if tied or headless else ["embed_tokens", "lm_head"]
    return any(not new <= set(trained.get(name, ())) for name in names)
