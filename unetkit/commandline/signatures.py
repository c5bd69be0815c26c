"""Signatures and docstrings, read from source files. Nothing is imported, since PyTorch takes seconds to load."""

from __future__ import annotations

import ast
import builtins
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from importlib.util import find_spec
from inspect import Parameter, cleandoc
from operator import or_
from pathlib import Path
from typing import Any, Literal, Optional, Union

import docstring_parser

from unetkit.foundation.options import Option

SHARED_HINTS: Mapping[str, Any] = {
    **{name: getattr(builtins, name) for name in ("int", "float", "bool", "str", "list", "dict", "tuple")},
    **{"Any": Any, "Literal": Literal, "Optional": Optional, "Union": Union, "Path": Path},
    **{"Sequence": Sequence, "Mapping": Mapping},
}
"""Type hints whose names mean the same in all modules."""


@dataclass(frozen=True)
class Nested:
    """The type of an option that is a class with options of its own.

    Attributes:
        name: Name of the class.
        options: Its options.
    """

    name: str
    options: tuple[Option, ...]


class _UnknownError(Exception):
    """A hint or a default that cannot be read without importing its module."""


def read_options(module: str, name: str) -> tuple[Option, ...]:
    """Return what a class takes: the parameters of its `__init__`, or the fields of a dataclass, with their texts.

    A hint that names anything but builtins, `typing`, constants and classes of unetkit is `Any`; a default that is no
    constant is `NotImplemented`.

    Args:
        module: The module that defines the class, for example "unetkit.training.segmentation.module".
        name: The class.
    """
    own = _definition(module, name)
    if not isinstance(own, ast.ClassDef):
        raise TypeError(f"{module}.{name} is no class")
    init = next((node for node in own.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"), None)
    texts = _texts(own) | (_texts(init) if init else {})
    parameters = _fields(own) if init is None else _parameters(init)
    return tuple(
        Option(key, _hint(module, hint), _default(module, default), texts.get(key, ""))
        for key, hint, default in parameters
    )


@lru_cache
def _tree(module: str) -> ast.Module:
    package, *rest = module.split(".")
    spec = find_spec(package)  # of a package at the top, whose file is found without importing it
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    return ast.parse(Path(spec.origin).parent.joinpath(*rest).with_suffix(".py").read_text(encoding="utf-8"))


def _definition(module: str, name: str) -> ast.AST:
    """Return the class, or the value of the constant, that a name stands for in a module."""
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
            return node.value
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            to = node.target
            if isinstance(to, ast.Name) and to.id == name:
                return node.value
    raise _UnknownError(name)


def _home(module: str, name: str) -> tuple[str, str]:
    """Return the module of unetkit that defines what a module calls by a name, and its name there."""
    for node in _tree(module).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unetkit."):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _home(str(node.module), alias.name)
    return module, name


def _parameters(function: ast.FunctionDef) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
    """Yield name, hint and default of each parameter but the first."""
    places = [*function.args.posonlyargs, *function.args.args]
    required: list[ast.expr | None] = [None] * (len(places) - len(function.args.defaults))
    arguments = [*places, *function.args.kwonlyargs]
    defaults = [*required, *function.args.defaults, *function.args.kw_defaults]
    for argument, default in list(zip(arguments, defaults, strict=True))[1:]:
        yield argument.arg, argument.annotation, default


def _fields(own: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
    """Yield name, hint and default of each field of a dataclass."""
    for node in own.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.annotation, node.value


def _texts(node: ast.ClassDef | ast.FunctionDef) -> dict[str, str]:
    parsed = docstring_parser.parse(cleandoc(ast.get_docstring(node) or ""))
    return {entry.arg_name: " ".join((entry.description or "").split()) for entry in parsed.params}


def _hint(module: str, node: ast.expr | None) -> Any:
    try:
        return Any if node is None else _type(module, node)
    except (_UnknownError, TypeError):
        return Any


def _type(module: str, node: ast.AST) -> Any:
    """Return the type that an annotation stands for."""
    if isinstance(node, ast.Constant) and (node.value is None or node.value is ...):
        return node.value
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _type(module, ast.parse(node.value, mode="eval").body)
    if isinstance(node, ast.Name):
        return SHARED_HINTS[node.id] if node.id in SHARED_HINTS else _own_type(module, node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return reduce(or_, (_type(module, side) or type(None) for side in (node.left, node.right)))
    if isinstance(node, ast.Subscript):
        outer = _type(module, node.value)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if outer is Literal:
            return typing.Literal[tuple(ast.literal_eval(part) for part in inner)]
        parts = tuple(_type(module, part) for part in inner)
        return outer[parts if len(parts) > 1 else parts[0]]
    raise _UnknownError(ast.dump(node))


def _own_type(module: str, name: str) -> Any:
    """Return a type that unetkit defines: an alias, or a class with options of its own."""
    home, own = _home(module, name)
    node = _definition(home, own)
    return Nested(own, read_options(home, own)) if isinstance(node, ast.ClassDef) else _type(home, node)


def _default(module: str, node: ast.expr | None) -> Any:
    if node is None:
        return Parameter.empty
    try:
        return _constant(module, node)
    except _UnknownError:
        return NotImplemented


def _constant(module: str, node: ast.AST) -> Any:
    """Return the value of an expression."""
    if isinstance(node, ast.Name):
        home, own = _home(module, node.id)
        return _constant(home, _definition(home, own))
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise _UnknownError(ast.dump(node)) from error
