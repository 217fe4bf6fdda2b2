"""The package is built in layers: a module imports from its own layer and from lower ones, and nothing in a circle.

All imports count: those at the top of a module, inside functions, and for type checkers only.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import cohere_rerank

ROOT = "cohere_rerank"
HOME = Path(cohere_rerank.__file__).resolve().parent

# From the bottom up: the modules of a layer, and why it is there. The longest name that fits a module places it.
LAYERS: list[tuple[set[str], str]] = [
    ({"_lazy", "_version", "_warn", "_wire.contract"}, "Facts that need nothing."),
    ({"_error_bodies", "errors"}, "Every layer raises these."),
    (
        {
            "_addresses",
            "_clock",
            "_extras",
            "_file_lock",
            "_json_lines",
            "_key_ring",
            "_progress",
            "_result_base",
            "_result_type",
            "_safe_files",
            "_secrets",
            "_tokens",
            "_trace",
            "_http_options",
            "_validators",
        },
        "Checks and helpers that know errors, and nothing of Cohere's API.",
    ),
    (
        {
            "_retry",
            "cache.file_store",
            "cache.score_cache",
            "cache.stores",
            "cost.prices",
            "environment",
            "limits.algorithms",
            "limits.budget",
            "limits.circuit_breaker",
            "limits.hedge",
            "limits.rate_limit",
            "limits.spending",
            "local.scorer",
        },
        "Values that a user makes and passes to a client.",
    ),
    ({"_counters", "_html", "core", "events", "types", "usage", "v2"}, "What a call takes and returns."),
    ({"_settings"}, "All options of a client, validated."),
    ({"_wire"}, "Pure rules: arguments to requests, responses to results."),
    ({"files"}, "Files of retrieval results, read as queries with their documents."),
    ({"cost"}, "Pure estimates on the same rules."),
    ({"models"}, "Models that are downloaded by name for the local engine."),
    ({"local"}, "The offline engine answers requests as a pure function."),
    ({"_transport"}, "The I/O of one request: to a server, or to the local engine."),
    ({"limits"}, "When a request may be sent. It judges the errors of the transport."),
    ({"_calls"}, "What batch, cache and raw responses may ask of a client."),
    ({"_tracing"}, "Spans and metrics of calls, from what the layers below know of them."),
    ({"_raw_response", "batch", "cache"}, "Features that call a client through that protocol."),
    (
        {
            "_async_runner",
            "_base_client",
            "_base_runner",
            "_budgeting",
            "_hedging",
            "_runner",
            "async_client",
            "client",
            "client_v2",
            "v1",
        },
        "The clients join all below.",
    ),
    ({""}, "The public names, imported when they are first used."),
    ({"evaluate", "integrations", "jobs", "server", "testing"}, "Features on top of whole clients."),
    ({"__main__", "cli"}, "The command line uses every feature."),
]

# Prefixes of modules that each pure layer never imports: I/O, time and the HTTP library.
FORBIDDEN_IN_WIRE = {"_socket", "anyio", "asyncio", "h11", "httpcore", "httpx", "socket", "ssl", "threading", "time"}


def find_modules() -> dict[str, Path]:
    """Each module's name without the package's, and its file. The package itself is ""."""
    modules = {}
    for path in sorted(HOME.rglob("*.py")):
        parts = list(path.relative_to(HOME).with_suffix("").parts)
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


MODULES = find_modules()


def imported_names(module: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the full name of everything that a module imports."""
    path = MODULES[module]
    here = [ROOT, *module.split(".")] if module else [ROOT]
    package = here if path.name == "__init__.py" else here[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{source}.{alias.name}"


def find_edges(module: str) -> dict[str, int]:
    """The modules of ours that a module imports, each with the line of the import."""
    edges: dict[str, int] = {}
    for line, name in imported_names(module):
        top, _, rest = name.partition(".")
        if top == ROOT:
            target = rest if rest in MODULES else rest.rpartition(".")[0]
            if target != module:
                edges.setdefault(target, line)
    return edges


EDGES = {module: find_edges(module) for module in MODULES}


def layer_of(module: str) -> int:
    """The number of a module's layer."""
    name = module
    while True:
        for number, (names, _) in enumerate(LAYERS):
            if name in names:
                return number
        if "." not in name:
            raise AssertionError(f"add {ROOT}.{module} to a layer in {__file__}")
        name = name.rpartition(".")[0]


def is_reexport(module: str, target: str) -> bool:
    """Whether a package's `__init__` names one of its own modules, which it imports only when a name is used."""
    return MODULES[module].name == "__init__.py" and (not module or target.startswith(f"{module}."))


def test_no_module_imports_from_a_higher_layer():
    """An import points to the same layer or down, in type-checking blocks too."""
    upward = [
        f"{MODULES[module].relative_to(HOME.parent)}:{line} imports {target}, which is in a higher layer: "
        f"{LAYERS[layer_of(target)][1]}"
        for module in MODULES
        for target, line in EDGES[module].items()
        if layer_of(target) > layer_of(module) and not is_reexport(module, target)
    ]
    assert not upward, "\n".join(upward)


def find_circle(edges: dict[str, set[str]]) -> list[str]:
    """A shortest chain of modules that leads back to its first module; empty if there is none."""
    for start in edges:
        came_from: dict[str, str] = {}
        waiting = deque([start])
        while waiting:
            module = waiting.popleft()
            for target in edges[module]:
                if target == start:
                    chain = [module]
                    while chain[-1] != start:
                        chain.append(came_from[chain[-1]])
                    return [*reversed(chain), start]
                if target not in came_from:
                    came_from[target] = module
                    waiting.append(target)
    return []


def test_no_modules_import_each_other_in_a_circle():
    """Any module can be read after the modules that it imports."""
    edges = {module: {target for target in EDGES[module] if not is_reexport(module, target)} for module in MODULES}
    circle = find_circle(edges)
    assert not circle, " -> ".join(circle)


def test_a_circle_is_found():
    """The search above sees a circle of three, and none in a chain."""
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == ["b", "c", "b"]
    assert not find_circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_the_wire_does_no_input_and_output():
    """`_wire` imports no HTTP library, no clock and no socket: it can be tested with values alone."""
    found = [
        f"{MODULES[module].relative_to(HOME.parent)}:{line} imports {name}"
        for module in MODULES
        if module.partition(".")[0] == "_wire"
        for line, name in imported_names(module)
        if name.partition(".")[0] in FORBIDDEN_IN_WIRE or name.startswith((f"{ROOT}._clock", f"{ROOT}._transport"))
    ]
    assert not found, "\n".join(found)


def test_every_name_in_the_layers_is_a_module():
    """The list above has no leftovers, and no module twice."""
    named = [name for names, _ in LAYERS for name in names]
    assert len(named) == len(set(named))
    assert sorted(set(named) - set(MODULES)) == []


def test_no_package_imports_its_own_modules():
    """Threads can import a package and its modules at the same time. Otherwise they may wait for each other."""
    eager = []
    for path in sorted(HOME.glob("*/__init__.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom):
                full = f"{ROOT}.{path.parent.name}"
                if (node.level == 1) or (node.module or "").startswith(f"{full}."):
                    eager.append(f"{full} imports {node.module}")
    assert eager == []
