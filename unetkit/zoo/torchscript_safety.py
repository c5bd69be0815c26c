"""TorchScript is a program: before it is loaded, its text is read, and refused unless it only computes with tensors.

A file of TorchScript is a .zip of texts in a part of Python, of descriptions of objects, and of numbers. Some operators
of TorchScript write and read files (`aten::save`, `aten::from_file`), some call other machines (`rpc_async`), and
loading alone runs the `__setstate__` of its objects. So nothing is loaded before all texts have been read:

- Operators are allowed by name: those of tensors and plain values (`aten`) that take no name of a file and nothing of
  other machines, and a list of `prim`. Operators that begin with `_` check their arguments less, so only those are
  allowed that PyTorch itself writes for networks. No other namespace is, so no custom operator.
- `x.name(...)` calls an operator too, if no method has this name; it is held to the same list.
- Objects of compiled classes are refused: they have code of their own for loading.
- The texts are read by Python's parser, and TorchScript has another one. So names of dangerous operators are also
  looked for as words, wherever they stand, and texts are refused that hold anything but ASCII.
- The records are read by the reader with which PyTorch loads them, so that both see the same. It does not tell large
  letters from small ones, so two names that differ in these alone are refused.

What this does not promise: that the program ends, or takes little memory.
"""

from __future__ import annotations

import ast
import pickletools
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import torch

from unetkit.foundation.errors import ModelError
from unetkit.foundation.names import printable
from unetkit.zoo.package_files import check_size

FILE_ARGUMENTS = ("file", "filename", "path", "url")
"""Names of texts that an operator takes as the name of a file."""

FAR_TYPES = ("RRef", "torch.classes")
"""Types in the schemas of operators that reach other machines, or compiled classes."""

DANGEROUS_WORDS = {"save", "from_file", "rpc_async", "rpc_sync", "rpc_remote", "PythonOp", "IgnoredPythonOp"}
"""Words that no text may hold, beside the operators that take the name of a file."""

INNER_OPERATORS = {
    *("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "_batch_norm_impl_index", "_convolution", "_convolution_mode"),
    *("_infer_size", "_log_softmax", "_shape_as_tensor", "_set_item", "_size_if_not_equal", "_softmax"),
    *("_tensor_to_list", "_list_to_tensor", "_unwrap_optional", "_weight_norm", "_native_multi_head_attention"),
    *("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d"),
    *("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_upsample_lanczos2d_aa"),
    *("_transformer_encoder_layer_fwd", "_cast_Float", "_cast_Half", "_cast_Int", "_cast_Long"),
}
"""Operators that begin with `_` and stand in networks that PyTorch has traced or compiled.

A compiled `interpolate` has all that upsample, whichever of them is used."""

PRIM_OPERATORS = {
    *("NumToTensor", "RaiseException", "abs", "data", "device", "dtype", "grad", "is_cpu", "is_cuda", "is_meta"),
    *("is_mkldnn", "is_mps", "is_nested", "is_quantized", "is_sparse", "itemsize", "layout", "max", "min", "nbytes"),
    *("requires_grad", "tolist", "type", "unchecked_cast", "unchecked_unwrap_optional", "rangelist"),
}
"""Operators of TorchScript itself that compute only. Those that call Python or other machines are not among them."""

FUNCTIONS = {
    *("abs", "all", "annotate", "any", "bool", "chr", "complex", "dict", "divmod", "enumerate", "float", "getattr"),
    *("hasattr", "hash", "int", "isinstance", "len", "list", "max", "min", "ord", "range", "rangelist", "reversed"),
    *("round", "sorted", "str", "sum", "tuple", "unchecked_cast", "uninitialized", "zip"),
}
"""Functions without a module that code may call, beside its own."""

REMEDY = "Do not load this file unless you trust who made it; ask for an ONNX file of the model."


def check_torchscript(path: Path) -> None:
    """Check that a file holds TorchScript that only computes with tensors. Nothing of it is run.

    Raises:
        ModelError: It is no TorchScript, or needs an operator that may do more than compute.
    """
    names, texts = _read_texts(path)
    small = [name.lower() for name in names]
    if "data.pkl" not in names or "constants.pkl" not in names or "model.json" in small:
        raise ModelError(
            f"{path} is no TorchScript of this kind: perhaps it was written by a PyTorch before 1.4.",
            "Export it again with a newer PyTorch.",
        )
    if len(set(small)) != len(small):
        raise ModelError(f"{path} has two files of the same name in it.", REMEDY)
    codes = {name: text.decode("utf-8", "replace") for name, text in texts.items() if name.lower().endswith(".py")}
    methods = frozenset(word for code in codes.values() for word in re.findall(r"\bdef\s+(\w+)", code))
    for name, text in texts.items():
        found = strange_words(codes[name], methods) if name in codes else _strange_classes(text)
        if (first := next(found, None)) is not None:
            raise ModelError(f"The code in {path} uses {printable(first)}, which may do more than compute.", REMEDY)


def _read_texts(path: Path) -> tuple[list[str], dict[str, bytes]]:
    """Return the names of all records, and those that hold code or descriptions of objects."""
    damaged = f"{path} is no file of TorchScript, or is damaged."
    try:
        with ZipFile(path) as archive:
            for info in archive.infolist():
                check_size(info, path)
        reader = torch._C.PyTorchFileReader(str(path))
        names = [str(name) for name in reader.get_all_records()]
        texts = {name: reader.get_record(name) for name in names if name.lower().endswith((".py", "pkl"))}
    except (RuntimeError, BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ModelError(damaged, "Download or copy it again.") from error
    return names, texts


def strange_words(code: str, methods: frozenset[str] = frozenset()) -> Iterator[str]:
    """Give what a text of TorchScript uses that may do more than compute with tensors.

    Args:
        code: The text.
        methods: Names of all methods in the file.
    """
    if not code.isascii():
        yield "letters beyond ASCII"
        return
    for word in re.findall(r"\w+", code):  # whatever the structure of the text
        if word in _dangerous_words():
            yield word
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield "text that cannot be read"
        return
    own = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    own |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        yield from _strange(node, own, methods | own, inner)


def _strange(node: ast.AST, own: set[str], methods: frozenset[str] | set[str], inner: set[int]) -> Iterator[str]:
    """Give what is strange in one node of a text."""
    if isinstance(node, (ast.Import, ast.ImportFrom)) and any(
        not alias.name.startswith("__torch__") for alias in node.names
    ):
        yield "an import"
    if isinstance(node, ast.Name) and node.id in ("torch", "ops") and id(node) not in inner:
        yield f"'{node.id}' as a value"
    if isinstance(node, ast.Attribute):
        chain = _chain(node)
        if chain[:3] == ["__torch__", "torch", "classes"]:
            yield ".".join(chain)
        if id(node) not in inner and chain[0] in ("torch", "ops") and not _is_harmless(chain):
            yield ".".join(chain)
    if isinstance(node, ast.Call):
        yield from _strange_call(node, own, methods)


def _strange_call(node: ast.Call, own: set[str], methods: frozenset[str] | set[str]) -> Iterator[str]:
    """Give what is strange in a call."""
    function = node.func
    if isinstance(function, ast.Attribute):
        known = _chain(function)[0] in ("torch", "ops", "__torch__")
        own_method = function.attr in methods and function.attr not in _all_operators()
        if not known and not own_method and not _is_operator(function.attr):
            yield f"{function.attr}()"
    elif isinstance(function, ast.Name):
        if function.id not in FUNCTIONS | own:
            yield f"{function.id}()"
        elif function.id in ("getattr", "hasattr"):
            name = node.args[1] if len(node.args) > 1 else None
            if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
                yield f"{function.id}() with a name that is not plain"
            elif _is_strange_name(name.value):  # `getattr(x, "name")` calls an operator as `x.name` does
                yield f'{function.id}() with the name "{name.value}"'


def _chain(node: ast.Attribute) -> list[str]:
    """Return the names of `a.b.c`, the first of them empty if it begins with something else."""
    names: list[str] = []
    value: ast.expr = node
    while isinstance(value, ast.Attribute):
        names.append(value.attr)
        value = value.value
    return [value.id if isinstance(value, ast.Name) else "", *reversed(names)]


def _is_harmless(chain: list[str]) -> bool:
    """Return whether `torch.name` or `ops.prim.name` is an operator that computes only."""
    if chain[0] == "torch":
        return len(chain) == 2 and _is_operator(chain[1])
    return len(chain) == 3 and chain[1] == "prim" and chain[2] in PRIM_OPERATORS


def _is_operator(name: str) -> bool:
    """Return whether an operator of `aten` computes only."""
    plain = not name.startswith("_") or name.startswith("__") or name in INNER_OPERATORS
    return plain and name in _tensor_operators()


def _is_strange_name(name: str) -> bool:
    """Return whether a name, with its escapes undone, is that of an operator that may do more than compute."""
    return name in _dangerous_words() or (name in _all_operators() and not _is_operator(name))


def _strange_classes(pickled: bytes) -> Iterator[str]:
    """Give the classes in a pickle that are made of compiled code. Nothing is unpickled."""
    try:
        for code, argument, _ in pickletools.genops(pickled):
            if code.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
                yield "a class without a plain name"
            if code.name in ("GLOBAL", "INST") and ".classes." in f".{str(argument).replace(' ', '.')}.":
                yield str(argument).replace(" ", ".")
    except (ValueError, IndexError, UnicodeError):
        yield "data that cannot be read"


@cache
def _dangerous_words() -> frozenset[str]:
    """Return the names of operators that take the name of a file, and other words that no text may hold."""
    return frozenset(DANGEROUS_WORDS) | {
        schema.name.removeprefix("aten::")
        for schema in torch._C._jit_get_all_schemas()
        if schema.name.startswith("aten::")
        and any(argument.name in FILE_ARGUMENTS and "str" in str(argument.type) for argument in schema.arguments)
    }


@cache
def _tensor_operators() -> frozenset[str]:
    """Return the names of operators of `aten` that compute only."""
    schemas = torch._C._jit_get_all_schemas()
    far = {schema.name.removeprefix("aten::") for schema in schemas if any(name in str(schema) for name in FAR_TYPES)}
    return _all_operators() - far - _dangerous_words()


@cache
def _all_operators() -> frozenset[str]:
    """Return the names of all operators of `aten`."""
    schemas = torch._C._jit_get_all_schemas()
    return frozenset(one.name.removeprefix("aten::") for one in schemas if one.name.startswith("aten::"))
