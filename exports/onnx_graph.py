"""What is added to a graph of onnxruntime-genai's builder, so that any padding, any caller and any batch is answered right.

The builder's `GroupQueryAttention` nodes take the number of *ones* in `attention_mask` as the length of a row, counted from slot 0: right padding.
A left-padded row then attends to its padding and loses its last tokens, without a word (logits wrong by more than their own range, measured).
transformers, transformers.js and every plain onnxruntime loop pad on the left. So each node is given two of its own optional inputs instead:

- `attention_bias` [B, 1, S, T]: the lowest float where the mask is 0, so padding is hidden wherever it stands;
- `position_ids` [B, S]: slot − zeros between the row's first one and that slot. The kernel takes slots as positions in the first run and these
  later; RoPE is relative, so a left-padded row is only shifted, and a right-padded one goes on where its prompt ended.

Right padding with a sliding window is the one case that stays wrong (the window counts slots): the metadata of the file says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

PADDING = "left (any batch); right only where no layer has a sliding window"
"""What `truemark.padding` in the file's metadata says."""
KEEP = "num_logits_to_keep"
"""An input with a default (0: all positions): how many last positions get logits. A caller that does not know it need not give it."""


def finish(file: Path, *, head_size: int, windows: list[int]) -> None:
    """Rewrite a graph of the builder in place; its weights stay in the external file, which is renamed to `FILE_data`.

    `windows` is the sliding window of each layer, in tokens, -1 for none: the builder forgets that of Mistral.
    """
    import onnx

    model = onnx.load(file, load_external_data=False)
    graph = model.graph
    attention = [node for node in graph.node if node.op_type == "GroupQueryAttention"]
    if len(attention) != len(windows):
        raise ValueError(f"expected {len(windows)} GroupQueryAttention nodes, found {len(attention)}")
    added = _Nodes(graph, _float_of(graph))
    bias, position, lengths = _from_mask(added)
    for node, window in zip(attention, windows, strict=True):
        inputs = [*node.input, *[""] * (11 - len(node.input))]
        inputs[5], inputs[9], inputs[10] = lengths, position, bias
        node.ClearField("input")
        node.input.extend(inputs)
        _set(node, "local_window_size", window)
    _last_positions(added)
    _name_head_size(graph, head_size)
    graph.node.extend(added.nodes)
    _sort(graph)
    _rename_weights(graph, file)
    entry = model.metadata_props.add()
    entry.key, entry.value = "truemark.padding", PADDING
    onnx.save(model, file)


def _from_mask(add: _Nodes) -> tuple[str, str, str]:
    """Names of attention_bias [B, 1, S, T], position_ids [B, S] and int32 lengths − 1 [B]; T is the width of the mask."""
    zero, one, axis = add.constant(0, "zero"), add.constant(1, "one"), add.constant([1], "axis")
    batch = add("Shape", ["attention_mask"], "batch", start=0, end=1)
    width = add("Shape", ["attention_mask"], "width", start=1, end=2)
    new = add("Shape", ["input_ids"], "new", start=1, end=2)

    slot = add("Range", [zero, add("Squeeze", [width], "width_scalar"), one], "slot")
    first = add("ArgMax", ["attention_mask"], "first", axis=1, keepdims=1)
    ones = add("CumSum", ["attention_mask", one], "ones")
    since = add("Add", [add("Sub", [slot, first], "since_first"), one], "since")
    gap = add("Max", [add("Sub", [since, ones], "zeros_since"), zero], "gap")
    end = add.constant([2**63 - 1], "end")
    position = add("Slice", [add("Sub", [slot, gap], "positions"), add("Neg", [new], "minus_new"), end, axis], "position_ids")  # fmt: skip

    hidden = add("Cast", [add("Sub", [one, "attention_mask"], "hidden")], "hidden_float", to=add.dtype)
    low = add("Mul", [hidden, add.lowest()], "low")
    shape = add("Concat", [batch, add.constant([1], "heads"), new, width], "bias_shape", axis=0)
    bias = add("Expand", [add("Unsqueeze", [low, add.constant([1, 2], "axes")], "low_4d"), shape], "attention_bias")

    last = add("Expand", [add("Sub", [width, one], "last_slot"), batch], "last_slots")
    return bias, position, add("Cast", [last], "lengths", to=6)  # 6 is INT32


def _last_positions(add: _Nodes) -> None:
    """Let the head see the last KEEP positions alone: the logits of a whole prompt are what costs memory in a batch."""
    from onnx import TensorProto, helper, numpy_helper

    head = next(node for node in add.graph.node if node.name.startswith("/lm_head/MatMul"))
    add.graph.input.append(helper.make_tensor_value_info(KEEP, TensorProto.INT64, [1]))
    import numpy as np

    add.graph.initializer.append(numpy_helper.from_array(np.array([0], dtype=np.int64), KEEP))  # its default
    start = add("Neg", [KEEP], "start")
    head.input[0] = add("Slice", [head.input[0], start, add.constant([2**63 - 1], "last"), add.constant([1], "rows")], "kept")  # fmt: skip
    shape = add.graph.output[0].type.tensor_type.shape
    assert add.graph.output[0].name == "logits"
    shape.dim[1].dim_param = "kept_length"
    stale = [value for value in add.graph.value_info if value.name.startswith("/lm_head/")]
    for value in stale:  # their shapes still say sequence_length
        add.graph.value_info.remove(value)


class _Nodes:
    """Nodes and constants to be added, all named `/truemark/…`."""

    def __init__(self, graph: Any, dtype: int) -> None:
        self.graph, self.dtype = graph, dtype
        self.nodes: list[Any] = []

    def __call__(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        from onnx import helper

        output = f"/truemark/{name}"
        self.nodes.append(helper.make_node(kind, inputs, [output], f"{output}/{kind}", **attributes))
        return output

    def constant(self, value: Any, name: str) -> str:
        import numpy as np

        return self._initializer(np.asarray(value, dtype=np.int64), name)

    def lowest(self) -> str:
        """The lowest finite number of the graph's float type: finite, because a row of padding alone must not become NaN."""
        import numpy as np

        kind = np.float16 if self.dtype == 10 else np.float32
        return self._initializer(np.array(np.finfo(kind).min, dtype=kind), "lowest")

    def _initializer(self, value: Any, name: str) -> str:
        from onnx import numpy_helper

        self.graph.initializer.append(numpy_helper.from_array(value, f"/truemark/{name}"))
        return f"/truemark/{name}"


def _float_of(graph: Any) -> int:
    """ONNX element type of the cache: 1 is float, 10 float16."""
    cache = next(value for value in graph.input if value.name.startswith("past_key_values."))
    return int(cache.type.tensor_type.elem_type)


def _name_head_size(graph: Any, head_size: int) -> None:
    """Put the number where the builder writes the symbol `kv_cache_dim`: a caller makes the empty cache from the graph alone."""
    for value in [*graph.input, *graph.output]:
        if value.name.startswith(("past_key_values.", "present.")):
            value.type.tensor_type.shape.dim[3].dim_value = head_size


def _set(node: Any, name: str, value: int) -> None:
    for attribute in node.attribute:
        if attribute.name == name:
            attribute.i = value


def _sort(graph: Any) -> None:
    """Every node after those that it reads from, otherwise in the order that it had."""
    made = {output for node in graph.node for output in node.output if output}
    waiting, ordered = list(graph.node), []
    ready: set[str] = set()
    while waiting:
        later = []
        for node in waiting:
            if all(name in ready or name not in made for name in node.input):
                ordered.append(node)
                ready.update(node.output)
            else:
                later.append(node)
        if len(later) == len(waiting):
            raise ValueError("the graph has a cycle")
        waiting = later
    graph.ClearField("node")
    graph.node.extend(ordered)


def _rename_weights(graph: Any, file: Path) -> None:
    """`model.onnx.data` → `model.onnx_data`, the name that transformers.js looks for."""
    target = file.with_name(file.name + "_data")
    file.with_name(file.name + ".data").rename(target)
    for tensor in graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = target.name
