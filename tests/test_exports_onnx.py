"""ONNX exports: equal to the torch adapter row by row whatever the padding, in plain onnxruntime, onnxruntime-genai and transformers.js."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exports import bundle, mark, onnx_graph, reference
from exports import onnx as exporter
from exports.source import opened
from tests import tiny
from tests.conftest import ROOT
from truemark import artifacts, chat, cli, models, portability
from truemark.errors import EngineError, InvalidArtifact, ModelNotFound
from truemark.files import publish_directory, sha256_file
from truemark.models import ModelRef
from truemark.runtimes import Runtime, Sampling, open_runtime
from truemark.settings import cache_dir

QUESTIONS = ("2 + 2?", "Solve for x: 3x + 7 = 22", "Why is the sky blue, in one line?", "Ünïcödé 😀 ∫")
MESSAGES = [[{"role": "user", "content": question}] for question in QUESTIONS]
GREEDY = Sampling(max_tokens=16)
FORMATS = tuple(exporter.VARIANTS)
KL = {"onnx-fp32": 1e-6, "onnx-fp16": 1e-4, "onnx-int8": 1e-2}
"""Mean KL to the adapter on the tiny model, nats per token; measured 4e-8, 2e-6 and 5e-4."""
Rows = list[list[int]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.shared(tmp_path_factory)


@pytest.fixture(scope="module")
def adapter(home: Path) -> Iterator[Runtime]:
    with open_runtime(str(home / "tuned")) as runtime:
        yield runtime


def written(home: Path, format: str) -> Path:
    """The export of the tiny adapter, without mark and manifest; made once."""
    out = home / format
    if not out.is_dir():
        with opened(home / "tuned") as source, publish_directory(out) as tmp:
            exporter.write(source, tmp, format)
    return out


def ref(directory: Path) -> ModelRef:
    return ModelRef(str(directory), "onnx", path=directory)


# ---------------------------------------------------------------- a plain onnxruntime loop, as a user writes it


class Plain:
    """Nothing but onnxruntime and NumPy: logits of a padded batch step by step."""

    def __init__(self, file: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def answer(self, prompts: Rows, tokens: Rows, *, side: str, head_size: int | None = None) -> list[list[np.ndarray]]:
        """Per row: the logits [T, V] of its own prompt, then [1, V] after each of its next `tokens`."""
        width = max(map(len, prompts))
        left = side == "left"
        pads = [[0] * (width - len(prompt)) for prompt in prompts]
        ids = np.array([pad + row if left else row + pad for row, pad in zip(prompts, pads, strict=True)], np.int64)
        ones = [[1] * len(prompt) for prompt in prompts]
        mask = np.array([pad + row if left else row + pad for row, pad in zip(ones, pads, strict=True)], np.int64)
        names = [value.name for value in self.session.get_outputs()]
        cache = {
            value.name: np.zeros(
                (len(prompts), value.shape[1], 0, head_size or value.shape[3]),
                np.float16 if "16" in value.type else np.float32,
            )
            for value in self.session.get_inputs()
            if value.name.startswith("past")
        }
        found: list[list[np.ndarray]] = [[] for _ in prompts]
        for step in range(1 + len(tokens[0])):
            out = dict(
                zip(names, self.session.run(None, {"input_ids": ids, "attention_mask": mask, **cache}), strict=True)
            )
            for row, prompt in enumerate(prompts):
                own = slice(None) if step else slice(width - len(prompt), None) if left else slice(len(prompt))
                found[row].append(out["logits"][row, own].astype(np.float32))
            if step < len(tokens[0]):
                ids = np.array([[row[step]] for row in tokens], np.int64)
                mask = np.concatenate([mask, np.ones_like(ids)], axis=1)
                cache = {name: out[name.replace("past_key_values", "present")] for name in cache}
        return found


def in_torch(checkpoint: Path, prompts: Rows, steps: int) -> tuple[Rows, list[list[np.ndarray]]]:
    """Greedy tokens and logits of a checkpoint, one row at a time, without cache and padding: what every engine must agree with."""
    import torch
    from transformers import AutoModelForCausalLM

    network: Any = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    tokens: Rows = []
    logits: list[list[np.ndarray]] = []
    for prompt in prompts:
        ids, kept = list(prompt), []
        for step in range(steps + 1):
            with torch.inference_mode():
                rows = network(input_ids=torch.tensor([ids])).logits[0].numpy()
            kept.append(rows if step == 0 else rows[-1:])
            ids.append(int(rows[-1].argmax()))
        tokens.append(ids[len(prompt) : -1])
        logits.append(kept)
    return tokens, logits


def furthest(found: list[list[np.ndarray]], wanted: list[list[np.ndarray]]) -> float:
    """Largest difference of any logit of any row at any step."""
    return max(
        float(np.abs(one - other).max())
        for row, right in zip(found, wanted, strict=True)
        for one, other in zip(row, right, strict=True)
    )


def prompts_of(seed: int, *lengths: int) -> Rows:
    random = np.random.default_rng(seed)
    return [random.integers(5, 40_000, size=length).tolist() for length in lengths]


# ---------------------------------------------------------------- parity


@pytest.mark.parametrize("format", FORMATS)
def test_it_is_the_adapter(home: Path, adapter: Runtime, format: str) -> None:
    wanted = dict(adapter.generate(MESSAGES, GREEDY))
    with open_runtime(ref(written(home, format))) as runtime:
        assert runtime.name == runtime.describe()["runtime"] == "onnx"
        assert [runtime.prompt_ids(one) for one in MESSAGES] == [adapter.prompt_ids(one) for one in MESSAGES]
        assert runtime.vocabulary() == adapter.vocabulary() and runtime.eos_ids() == adapter.eos_ids()
        for index, completion in wanted.items():
            ids = [*adapter.prompt_ids(MESSAGES[index]), *completion.token_ids]
            p, q = adapter.logprobs(ids), runtime.logprobs(ids)
            assert p.shape == q.shape and q.dtype == np.float32
            assert float((np.exp(p) * (p - q)).sum(axis=1).mean()) < KL[format]
        together = dict(runtime.generate(MESSAGES, GREEDY))
        if format != "onnx-int8":  # rounded weights may choose other tokens
            assert {i: one.token_ids for i, one in together.items()} == {i: one.token_ids for i, one in wanted.items()}
        for index, one in together.items():
            [(_, alone)] = runtime.generate([MESSAGES[index]], GREEDY)
            assert (alone.token_ids, alone.text) == (one.token_ids, one.text)
            assert "".join(runtime.stream(MESSAGES[index], GREEDY)).rstrip("�") == alone.text.rstrip("�")


@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_of_unequal_length_are_answered_as_if_alone(home: Path, side: str) -> None:
    prompts = prompts_of(1, 3, 17, 40, 1)
    with opened(home / "tuned") as source:
        tokens, wanted = in_torch(source.merged(), prompts, 6)
    plain = Plain(written(home, "onnx-fp32") / "onnx" / "model.onnx")
    together = plain.answer(prompts, tokens, side=side)
    alone = [plain.answer([prompt], [row], side=side)[0] for prompt, row in zip(prompts, tokens, strict=True)]
    assert furthest(together, alone) < 1e-4 and furthest(together, wanted) < 1e-4
    greedy = [[int(step[-1].argmax()) for step in row[:-1]] for row in together]
    assert greedy == tokens


def test_a_conversation_goes_on_from_its_cache(home: Path, adapter: Runtime) -> None:
    """Several new tokens after a past: what a chat does with its second question."""
    plain = Plain(written(home, "onnx-fp32") / "onnx" / "model.onnx")
    [ids] = prompts_of(2, 30)
    whole = plain.answer([ids], [[]], side="left")[0][0]
    names = [value.name for value in plain.session.get_outputs()]
    inputs = [value for value in plain.session.get_inputs() if value.name.startswith("past")]
    empty = {value.name: np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32) for value in inputs}
    first = {"input_ids": np.array([ids[:18]], np.int64), "attention_mask": np.ones((1, 18), np.int64)}
    past = dict(zip(names, plain.session.run(None, {**first, **empty}), strict=True))
    cache = {name: past[name.replace("past_key_values", "present")] for name in empty}
    second = {"input_ids": np.array([ids[18:]], np.int64), "attention_mask": np.ones((1, 30), np.int64)}
    logits = plain.session.run(["logits"], {**second, **cache})[0]
    assert np.abs(logits[0] - whole[18:]).max() < 1e-4


def build(checkpoint: Path, out: Path) -> tuple[Path, int]:
    """The builder's own graph of a checkpoint, and its head size."""
    exporter._build(checkpoint, out, exporter.VARIANTS["onnx-fp32"], out.parent / "cache")
    config = json.loads((out / "genai_config.json").read_text())
    return out / "model.onnx", int(config["model"]["decoder"]["head_size"])


def finished(file: Path, head_size: int, windows: list[int]) -> Plain:
    out = file.parent / "finished"
    out.mkdir()
    for name in ("model.onnx", "model.onnx.data"):
        shutil.copyfile(file.with_name(name), out / name)
    onnx_graph.finish(out / "model.onnx", head_size=head_size, windows=windows)
    return Plain(out / "model.onnx")


def random_model(path: Path, kind: str, **changes: Any) -> Path:
    """A random checkpoint of one architecture with norms and biases that are not those of the start."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(4)
    shape = {
        "vocab_size": 49152, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 256, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
        "initializer_range": 0.15, "head_dim": 32,
    }  # fmt: skip
    if kind == "qwen2":
        del shape["head_dim"]
    network = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**shape, **changes}))
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "norm" in name or name.endswith("bias"):
                weight.add_(torch.randn_like(weight) * 0.1)
    network.save_pretrained(path)
    tokens = tiny.embedded.SMOLLM2.gguf()
    AutoTokenizer.from_pretrained(tokens.parent, gguf_file=tokens.name).save_pretrained(path)
    return path


def test_what_the_builder_forgets_is_mended(tmp_path: Path) -> None:
    """Its own graph answers left-padded rows wrongly and has no sliding window: should this test fail, `onnx_graph` may have become needless."""
    checkpoint = random_model(tmp_path / "model", "mistral", sliding_window=8)
    prompts = prompts_of(3, 3, 17, 30)
    tokens, wanted = in_torch(checkpoint, prompts, 5)
    file, head_size = build(checkpoint, tmp_path / "built")
    theirs = Plain(file)
    short = [prompt[:2] for prompt in prompts]
    few, right = in_torch(checkpoint, [short[0], prompts[0]], 1)
    padded = theirs.answer([short[0], prompts[0]], few, side="left", head_size=head_size)
    assert furthest([padded[1]], [right[1]]) < 1e-4, "the longest row has no padding"
    assert furthest([padded[0]], [right[0]]) > 0.5
    assert furthest(theirs.answer([prompts[2]], [tokens[2]], side="left", head_size=head_size), [wanted[2]]) > 0.5
    windows = exporter._windows(checkpoint)
    assert windows == [8, 8, 8]
    assert furthest(finished(file, head_size, windows).answer(prompts, tokens, side="left"), wanted) < 1e-4


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama untied, 3 more tokens": {"kind": "llama", "tie_word_embeddings": False, "vocab_size": 49155},
    "llama 3 rotary, biases": {
        "kind": "llama",
        "attention_bias": True,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "mistral untied": {"kind": "mistral", "tie_word_embeddings": False, "sliding_window": None},
    "qwen2 tied": {"kind": "qwen2", "tie_word_embeddings": True},
    "qwen2 with a window": {
        "kind": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 8,
        "max_window_layers": 1,
    },
    "qwen3 tied": {"kind": "qwen3", "tie_word_embeddings": True},
    "gemma": {"kind": "gemma"},
    "gemma2 with a window": {"kind": "gemma2", "sliding_window": 8, "query_pre_attn_scalar": 32},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures(tmp_path: Path, name: str) -> None:
    checkpoint = random_model(tmp_path / "model", **ARCHITECTURES[name])
    prompts = prompts_of(5, 2, 23, 40)
    tokens, wanted = in_torch(checkpoint, prompts, 5)
    file, head_size = build(checkpoint, tmp_path / "built")
    found = finished(file, head_size, exporter._windows(checkpoint)).answer(prompts, tokens, side="left")
    # Gemma 2 caps its attention scores at 50 by tanh, which onnxruntime's kernel approximates: 1.3e-2, without the cap 5e-6
    assert furthest(found, wanted) < (3e-2 if "gemma2" in name else 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "format"),
    [("new-tokens", "onnx-fp32"), ("trained-head", "onnx-fp32"), ("trained-embeddings", "onnx-int8"), ("lora-head", "onnx-fp16"), ("new-tokens", "onnx-int8")],
)  # fmt: skip
def test_adapters_that_change_more_than_layers(home: Path, tmp_path: Path, variant: str, format: str) -> None:
    tuned = tiny.adapter(tmp_path / "tuned", home / "base", variant=variant)
    with opened(tuned) as source:
        exporter.write(source, out := _directory(tmp_path / "out"), format)
    with open_runtime(str(tuned)) as torch, open_runtime(ref(out)) as runtime:
        assert runtime.vocabulary() == torch.vocabulary()
        ids = torch.prompt_ids(MESSAGES[1])
        p, q = torch.logprobs(ids), runtime.logprobs(ids)
        assert p.shape == q.shape and float((np.exp(p) * (p - q)).sum(axis=1).mean()) < KL[format]


def _directory(path: Path) -> Path:
    path.mkdir()
    return path


# ---------------------------------------------------------------- the three loaders


@pytest.mark.parametrize("format", FORMATS)
def test_the_files_say_one_thing(home: Path, format: str) -> None:
    out, variant = written(home, format), exporter.VARIANTS[format]
    assert {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()} == {
        "config.json", "generation_config.json", "genai_config.json", "tokenizer.json", "tokenizer_config.json",
        "chat_template.jinja", f"onnx/{variant.file}", f"onnx/{variant.file}_data",
    }  # fmt: skip
    template = chat.read_template(home / "tuned")
    read = {name: json.loads((out / name).read_text()) for name in ("config.json", "generation_config.json", "genai_config.json", "tokenizer_config.json")}  # fmt: skip
    assert (out / "chat_template.jinja").read_bytes() == (home / "tuned" / "chat_template.jinja").read_bytes()
    assert read["tokenizer_config.json"]["chat_template"] == template
    genai = read["genai_config.json"]["model"]
    assert genai["eos_token_id"] == read["generation_config.json"]["eos_token_id"] == [2]
    assert genai["context_length"] == read["config.json"]["max_position_embeddings"] == 512
    assert genai["decoder"]["filename"] == f"onnx/{variant.file}"
    assert genai["decoder"]["session_options"]["provider_options"] == []
    import onnx

    graph = onnx.load(out / "onnx" / variant.file, load_external_data=False)
    assert {entry.key: entry.value for entry in graph.metadata_props}["truemark.padding"] == onnx_graph.PADDING


@pytest.mark.parametrize("format", FORMATS)
def test_onnxruntime_genai_gives_the_same_tokens(home: Path, format: str) -> None:
    import onnxruntime_genai as og

    out = written(home, format)
    with open_runtime(ref(out)) as runtime:
        wanted = [list(dict(runtime.generate([one], GREEDY))[0].token_ids) for one in MESSAGES]
        prompts = [runtime.prompt_ids(one) for one in MESSAGES]
    config = og.Config(str(out))
    config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": 1}}}}))
    model = og.Model(config)
    tokenizer = og.Tokenizer(model)
    texts = [tokenizer.apply_chat_template(messages=json.dumps(one), add_generation_prompt=True) for one in MESSAGES]
    assert [tokenizer.encode(text).tolist() for text in texts] == prompts

    def answers(ids: Any, width: int, rows: int) -> Rows:
        options = og.GeneratorParams(model)
        options.set_search_options(max_length=width + GREEDY.max_tokens, do_sample=False, batch_size=rows)
        generator = og.Generator(model, options)
        generator.append_tokens(ids)
        while not generator.is_done():
            generator.generate_next_token()
        return [generator.get_sequence(row).tolist()[width:] for row in range(rows)]

    assert [answers(tokenizer.encode(text), len(ids), 1)[0] for text, ids in zip(texts, prompts, strict=True)] == wanted
    assert answers(tokenizer.encode_batch(texts), max(map(len, prompts)), len(texts)) == wanted, "a padded batch"


@pytest.fixture(scope="module")
def node_modules() -> Path:
    """transformers.js with onnxruntime-node as package-lock.json pins them, installed once in the cache."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("transformers.js needs node and npm")
    lock = ROOT / "tests" / "node" / "package-lock.json"
    out = cache_dir() / f"node-{sha256_file(lock)[:12]}"
    if not out.is_dir():
        with publish_directory(out) as tmp:
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(lock.with_name(name), tmp / name)
            # the CPU binary is in onnxruntime-node's package; its install script would fetch the one for CUDA
            subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=tmp, check=True, timeout=600
            )
    return out / "node_modules"


@pytest.mark.slow
@pytest.mark.xdist_group("node")  # one worker, so that the packages are installed once
@pytest.mark.parametrize("format", FORMATS)
def test_transformers_js_gives_the_same_tokens(home: Path, tmp_path: Path, node_modules: Path, format: str) -> None:
    out = written(home, format)
    shutil.copyfile(ROOT / "tests" / "node" / "generate.mjs", tmp_path / "generate.mjs")
    (tmp_path / "node_modules").symlink_to(node_modules)
    run = subprocess.run(
        ["node", "generate.mjs", str(out.parent), out.name, str(GREEDY.max_tokens)], cwd=tmp_path,
        input=json.dumps(QUESTIONS), capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    with open_runtime(ref(out)) as runtime:
        assert [one["prompt"] for one in told["alone"]] == [runtime.prompt_ids(one) for one in MESSAGES]
        wanted = [list(dict(runtime.generate([one], GREEDY))[0].token_ids) for one in MESSAGES]
    assert [one["answer"] for one in told["alone"]] == wanted
    assert told["together"] == wanted, "a left-padded batch"


# ---------------------------------------------------------------- through the command line


@pytest.fixture
def quick(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Marks with few and short answers; a fresh copy of the tiny adapter in the directory that is returned."""
    shutil.copytree(home / "tuned", tmp_path / "tuned")
    short = Sampling(max_tokens=12)
    monkeypatch.setattr(reference, "PROMPTS", 6)
    monkeypatch.setattr(reference, "SAMPLING", short)
    monkeypatch.setattr(mark, "SAMPLING", short)
    monkeypatch.setattr(reference, "cache_dir", lambda: home / "cache")
    return tmp_path


ALONE = ("onnxruntime", "onnxruntime_genai", "numpy", "numpy.libs")
"""All that the runner of a bundle may import."""


def test_an_export_passes_its_mark_and_its_bundle_answers_without_torch(
    quick: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = quick / "edge"
    assert cli.run(["export", str(quick / "tuned"), "--to", "onnx-fp32", "--bundle", str(out)]) == 0
    export = artifacts.open_artifact(quick / "tuned.onnx-fp32")
    found = json.loads((export.path / "mark.json").read_text())
    assert found["verdict"]["failed"] == [] and found["size_mb"] > 12
    assert "onnx/model.onnx_data" in export.manifest.files
    assert models.resolve(export.path).kind == "onnx"

    site = quick / "site"
    site.mkdir()
    for name in ALONE:
        (site / name).symlink_to(Path(sysconfig.get_paths()["purelib"]) / name)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TRUEMARK"))}
    environment = {**kept, "PYTHONPATH": str(site), "PYTHONNOUSERSITE": "1"}

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-S", *arguments], env=environment, cwd=quick, capture_output=True, text=True, timeout=120, check=False)  # fmt: skip

    for module in ("torch", "transformers", "tokenizers", "jinja2", "truemark"):
        assert "ModuleNotFoundError" in python("-c", f"import {module}").stderr
    with open_runtime(models.resolve(export.path)) as runtime:
        wanted = dict(runtime.generate([MESSAGES[1]], GREEDY))[0].text
    told = python(str(out / "run.py"), "--max-tokens", "16", "--threads", "1", QUESTIONS[1])
    assert (told.returncode, told.stdout) == (0, wanted + "\n"), told.stderr
    assert bundle.RUNNERS["onnx"].needs in json.loads((out / "bundle.json").read_text())["needs"]


def test_the_runtime_needs_no_torch(home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from truemark.models import ModelRef; from truemark.runtimes import open_runtime, Sampling\n"
        f"d = Path({str(written(home, 'onnx-fp32'))!r})\n"
        "with open_runtime(ModelRef(str(d), 'onnx', path=d)) as r: list(r.generate(['2 + 2?' and [1, 5, 9]], Sampling(max_tokens=2)))\n"
        "print(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "[]", run.stderr


# ---------------------------------------------------------------- what is refused


def test_what_the_exporter_cannot_hold_is_refused_before_work(home: Path) -> None:
    base = json.loads((home / "base" / "config.json").read_text())
    lora = json.loads((home / "tuned" / "adapter_config.json").read_text())
    portability.refuse(portability.Plan("x", lora, base), FORMATS)
    with pytest.raises(InvalidArtifact, match="does not know ElsewhereForCausalLM"):
        portability.refuse(portability.Plan("x", lora, {**base, "architectures": ["ElsewhereForCausalLM"]}), FORMATS)
    from transformers import Gemma3TextConfig

    gemma = {**Gemma3TextConfig().to_dict(), "architectures": ["Gemma3ForCausalLM"]}
    with pytest.raises(InvalidArtifact, match="rotary embeddings of Gemma3ForCausalLM"):
        portability.refuse(portability.Plan("x", lora, gemma), ["onnx-fp32"])


@pytest.mark.slow
def test_the_builders_last_words_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(InvalidArtifact, match="cannot export this model"):
        exporter._build(tmp_path / "nothing", tmp_path / "o", exporter.VARIANTS["onnx-fp32"], tmp_path / "c")


def test_a_weight_beyond_fp16_is_refused(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"model.norm.weight": torch.tensor([7e4])}, tmp_path / "model.safetensors")
    with pytest.raises(InvalidArtifact, match=r"model\.norm\.weight does not fit fp16"):
        exporter._refuse_beyond_fp16(tmp_path)


def test_what_the_runtime_cannot_open_is_said(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="opens ONNX exports, not checkpoint"):
        open_runtime(str(home / "base"), "onnx")
    broken = tmp_path / "broken"
    shutil.copytree(written(home, "onnx-fp32"), broken)
    (broken / "onnx" / "model.onnx_data").write_bytes(b"cut off")
    with pytest.raises(EngineError, match=r"model\.onnx"):
        open_runtime(ref(broken))
    (broken / "onnx" / "model.onnx").write_bytes(b"\x00\x01not a graph")
    with pytest.raises(EngineError, match="cannot load"):
        open_runtime(ref(broken))
    (broken / "onnx" / "model.onnx").unlink()
    with pytest.raises(ModelNotFound, match=r"expected one \.onnx file"):
        open_runtime(ref(broken))
    (broken / "generation_config.json").write_text("{}")
    with pytest.raises(InvalidArtifact, match="no end tokens"):
        open_runtime(ref(broken))
    with open_runtime(ref(written(home, "onnx-fp32"))) as runtime, pytest.raises(EngineError, match="onnxruntime"):
        runtime.logprobs([10**9])
