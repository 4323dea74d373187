"""The contestants of `benchmarks.training speed`: each trains the same examples in a process of its own and says how long the training took.

python -m benchmarks.trainers NAME DIRECTORY     reads DIRECTORY/{rows.jsonl,setup.json}, writes DIRECTORY/NAME/{adapter files,run.json}
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Setup = dict[str, Any]
"""`recipe`: a recipe's values; `steps`; `llamafactory`: its command, or None; `threads`."""


def ours(setup: Setup, rows: list[Any], out: Path, **changes: Any) -> float:
    """`train.sft`, without the artifact around it. `changes` take one measure away or add one."""
    from functools import partial

    import domains
    from train import data, methods, network, sft, trainer
    from truemark import models
    from truemark.recipe import Recipe

    recipe = Recipe.model_validate(setup["recipe"])
    for section, values in changes.get("recipe", {}).items():
        recipe = recipe.model_copy(update={section: getattr(recipe, section).model_copy(update=values)})
    domain, base = domains.get(recipe.domain), models.resolve(recipe.base)
    tokenizer = network.load_tokenizer(base, domain.SYSTEM_PROMPT)
    examples = data.tokenize(rows, tokenizer)
    if changes.get("grouped", True):
        steps = setup["steps"]
        ordered = data.in_training_order(examples, recipe.optim.batch_size, steps, recipe.seed)
        if recipe.data.packing:
            ordered = data.packed(examples, recipe.data.max_length or 0)
            steps = len(ordered) // recipe.optim.batch_size
            ordered = ordered[: steps * recipe.optim.batch_size]
    else:
        ordered, steps = examples, setup["steps"]
    loss = partial(changes.get("loss", sft.completion_loss), **changes.get("options", {}))
    began: list[float] = []
    job = methods.Job(recipe, domain, base, rows, [], out)
    real = trainer.run

    def run(made: Any, *arguments: Any) -> Any:
        if changes.get("compile"):
            made.model = __import__("torch").compile(made.model)
        began.append(time.monotonic())
        log = real(made, *arguments)
        began.append(time.monotonic())
        return log

    trainer.run = run
    trained = sft.fit(job, ordered, steps, tokenizer, loss)
    trained.save(out)
    return (began[1] - began[0]) * len(rows) / sum(row.name.count(", ") + 1 for row in ordered)


def full_logits(model: Any, batch: dict[str, Any], items: Any = None, *, share: bool = False) -> Any:
    """The model's own loss: logits of the whole vocabulary at every position."""
    return model(input_ids=batch["input_ids"], labels=batch["labels"], num_items_in_batch=items).loss


def without_memory_settings(setup: Setup, rows: list[Any], out: Path) -> float:
    """`compute.prepare` without its allocator settings."""
    import torch

    from truemark import compute

    compute.prepare = lambda: torch.set_num_threads(setup["threads"])
    return ours(setup, rows, out)


def trl(setup: Setup, rows: list[Any], out: Path, **options: Any) -> float:
    """TRL's SFTTrainer as its documentation shows it: what is not said here is its default. Its bf16 stops a CPU with "You need to assign use_cpu": so that is said."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    import domains
    from truemark import chat, models

    recipe = setup["recipe"]
    path = models.resolve(recipe["base"]).local_path()
    torch.set_num_threads(setup["threads"])
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.chat_template = chat.with_default_system(
        chat.read_template(path), domains.get(recipe["domain"]).SYSTEM_PROMPT
    )
    trainer = SFTTrainer(
        model=str(path),
        args=SFTConfig(
            output_dir=str(out / "work"),
            learning_rate=recipe["optim"]["learning_rate"],
            per_device_train_batch_size=recipe["optim"]["batch_size"],
            max_steps=setup["steps"],
            seed=recipe["seed"],
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            **options,
        ),
        train_dataset=Dataset.from_list([{"messages": row["messages"]} for row in rows]),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=recipe["lora"]["rank"],
            lora_alpha=recipe["lora"]["alpha"],
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )
    began = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - began
    trainer.save_model(str(out))
    tokenizer.save_pretrained(out)
    return seconds


def llamafactory(setup: Setup, rows: list[Any], out: Path) -> float:
    """LLaMA-Factory's CLI, from its own environment, with the same system prompt, batch, learning rate and steps."""
    import yaml

    import domains
    from truemark import models

    recipe = setup["recipe"]
    prompt = domains.get(recipe["domain"]).SYSTEM_PROMPT
    system = [] if not prompt else [{"role": "system", "content": prompt}]
    (out / "rows.json").write_text(json.dumps([{"messages": [*system, *row["messages"]]} for row in rows]))
    tags = {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    }
    info = {
        "rows": {"file_name": "rows.json", "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": tags}
    }
    (out / "dataset_info.json").write_text(json.dumps(info))
    config = {
        "model_name_or_path": str(models.resolve(recipe["base"]).local_path()), "stage": "sft", "do_train": True, "finetuning_type": "lora",
        "lora_rank": recipe["lora"]["rank"], "lora_alpha": recipe["lora"]["alpha"], "lora_target": "all", "dataset": "rows", "dataset_dir": str(out),
        "template": "chatml", "cutoff_len": 1024, "output_dir": str(out / "work"), "per_device_train_batch_size": recipe["optim"]["batch_size"],
        "gradient_accumulation_steps": 1, "learning_rate": recipe["optim"]["learning_rate"], "max_steps": setup["steps"], "report_to": "none",
        "seed": recipe["seed"], "lr_scheduler_type": "cosine", "preprocessing_num_workers": 1, "use_cpu": True,
    }  # fmt: skip
    (out / "config.yaml").write_text(yaml.safe_dump(config))
    subprocess.run([*setup["llamafactory"], "train", str(out / "config.yaml")], check=True, capture_output=True)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (out / "work" / name).rename(out / name)
    return float(json.loads((out / "work" / "train_results.json").read_text())["train_runtime"])


CONTESTANTS: dict[str, Callable[[Setup, list[Any], Path], float]] = {
    "truemark": ours,
    "trl-fp32": lambda *a: trl(*a, bf16=False),
    "trl-defaults": trl,
    "llamafactory": llamafactory,
}
"""`trl-fp32` is TRL's defaults but for bf16, which a CPU without bf16 instructions emulates."""

MEASURES: dict[str, Callable[[Setup, list[Any], Path], float]] = {
    "all measures": ours,
    "without the shared prefix": lambda *a: ours(*a, options={"share": False}),
    "with logits everywhere": lambda *a: ours(*a, loss=full_logits),
    "without grouping by length": lambda *a: ours(*a, grouped=False),
    "without the allocator's settings": without_memory_settings,
    "with packing": lambda *a: ours(
        *a, recipe={"data": {"packing": True, "max_length": 512}, "optim": {"batch_size": 1}}
    ),
    "with LoRA on all 30 layers": lambda *a: ours(*a, recipe={"lora": {"top_layers": None}}),
    "with LoRA on the upper 10 layers": lambda *a: ours(*a, recipe={"lora": {"top_layers": 10}}),
    "with torch.compile": lambda *a: ours(*a, compile=True),
    "in bf16": lambda *a: ours(*a, recipe={"run": {"precision": "bf16"}}),
}


def main() -> None:
    """Train one contestant and write its run.json: `seconds` in the trainer, `process_seconds` with everything around it."""
    began = time.monotonic()
    name, directory = sys.argv[1], Path(sys.argv[2])
    setup = json.loads((directory / "setup.json").read_text())
    rows = [json.loads(line) for line in (directory / "rows.jsonl").read_text().splitlines()]
    out = directory / name.replace(" ", "-")
    out.mkdir(parents=True, exist_ok=True)
    seconds = {**CONTESTANTS, **MEASURES}[name](setup, rows, out)
    for checkpoint in (out / "work", *out.glob("checkpoint-*")):  # with pickles, which are refused
        shutil.rmtree(checkpoint, ignore_errors=True)
    (out / "training_args.bin").unlink(missing_ok=True)
    (out / "run.json").write_text(json.dumps({"seconds": seconds, "process_seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main()
