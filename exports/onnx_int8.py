"""Weight-only INT8 of an fp32 graph, one weight at a time by onnxruntime's own quantizer.

The builder's `-p int8` holds the model three times (1,969 MB for SmolLM2-135M, 3.6 times the fp32 file) and leaves a tied embedding in fp32, 42 % of
the file. Here one weight is in memory, and the embedding is read from the head's own bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

BITS = 8
_PAGE, _CHUNK = 4096, 1 << 24


def quantize(file: Path, out: Path, *, block_size: int, accuracy_level: int) -> None:
    """Write `out` and `out.data` from `file` and `file.data`: every MatMul with a constant weight becomes MatMulNBits.

    `block_size`: inputs that share a scale. `accuracy_level`: 4 rounds activations to INT8 for the product, 1 keeps fp32.
    """
    import onnx
    from onnx import helper
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, DefaultWeightOnlyQuantizer

    model = onnx.load(file, load_external_data=False)
    graph = model.graph
    quantizer = DefaultWeightOnlyQuantizer(
        DefaultWeightOnlyQuantConfig(
            block_size=block_size, is_symmetric=True, accuracy_level=accuracy_level, bits=BITS, op_types_to_quantize=("MatMul",)
        )
    )  # fmt: skip
    weights = {tensor.name: tensor for tensor in graph.initializer}
    with file.with_name(file.name + ".data").open("rb") as source, out.with_name(out.name + ".data").open("wb") as data:
        for node in graph.node:
            if node.op_type == "MatMul" and node.input[1] in weights:
                alone = helper.make_graph([], "one weight", [], [], [_loaded(weights[node.input[1]], source)])
                [made] = quantizer.quantize_matmul(node, [alone])
                node.CopyFrom(made)
                graph.initializer.extend(_stored(alone.initializer[position], data, out) for position in (1, 2))
        _embedding_from_head(graph)
        _drop_unused(graph)
        for tensor in graph.initializer:
            if tensor.name in weights and tensor.external_data:
                _copy(tensor, source, data, out)
    onnx.save(model, out)


def _embedding_from_head(graph: Any) -> None:
    """Where embedding and head are one matrix (the builder reads the embedding from the transposed head), look tokens up in the rounded head."""
    from onnx import TensorProto, helper

    made = {output: node for node in graph.node for output in node.output}
    gather = next((node for node in graph.node if node.name == "/model/embed_tokens/Gather"), None)
    head = next(node for node in graph.node if node.name.startswith("/lm_head/MatMul"))
    attributes = {attribute.name: attribute.i for attribute in head.attribute}
    turned = made.get(gather.input[0]) if gather is not None else None
    whole = head.op_type == "MatMulNBits" and attributes["K"] % attributes["block_size"] == 0  # rows without padding
    if gather is None or turned is None or not whole or head.input[1] != f"{turned.input[0]}_Q{BITS}":
        return
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    rows, width, block = attributes["N"], attributes["K"], attributes["block_size"]
    names = []
    for name, columns in ((head.input[1], width), (head.input[2], width // block)):
        view = TensorProto()  # the same bytes of the file in another shape
        view.CopyFrom(tensors[name])
        view.name = f"/truemark/{name}"
        view.ClearField("dims")
        view.dims.extend([rows, columns])
        graph.initializer.append(view)
        names.append(view.name)
    lookup = helper.make_node(
        "GatherBlockQuantized", [names[0], gather.input[1], names[1]], list(gather.output), gather.name, domain="com.microsoft",
        bits=BITS, block_size=block, gather_axis=0, quantize_axis=1,
    )  # fmt: skip
    gather.CopyFrom(lookup)
    graph.node.remove(turned)


def _drop_unused(graph: Any) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    graph.ClearField("initializer")
    graph.initializer.extend(kept)


def _loaded(tensor: Any, source: IO[bytes]) -> Any:
    """A copy of the tensor that holds its bytes."""
    from onnx import TensorProto

    copy = TensorProto()
    copy.CopyFrom(tensor)
    where = {entry.key: entry.value for entry in tensor.external_data}
    if where:
        source.seek(int(where["offset"]))
        copy.raw_data = source.read(int(where["length"]))
        copy.ClearField("external_data")
        copy.data_location = TensorProto.DEFAULT
    return copy


def _stored(tensor: Any, data: IO[bytes], out: Path) -> Any:
    """The tensor with its bytes moved to the end of the data file."""
    content, start = tensor.raw_data, _aligned(data)
    tensor.ClearField("raw_data")
    data.write(content)
    _point(tensor, out, start, len(content))
    return tensor


def _copy(tensor: Any, source: IO[bytes], data: IO[bytes], out: Path) -> None:
    where = {entry.key: entry.value for entry in tensor.external_data}
    length, start = int(where["length"]), _aligned(data)
    source.seek(int(where["offset"]))
    for done in range(0, length, _CHUNK):
        data.write(source.read(min(_CHUNK, length - done)))
    _point(tensor, out, start, length)


def _aligned(data: IO[bytes]) -> int:
    """Go on at the next page: onnxruntime maps the file into memory."""
    data.write(b"\0" * (-data.tell() % _PAGE))
    return data.tell()


def _point(tensor: Any, out: Path, offset: int, length: int) -> None:
    from onnx import TensorProto

    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("external_data")
    for key, value in (("location", f"{out.name}.data"), ("offset", offset), ("length", length)):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
