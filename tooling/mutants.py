"""
Changes the core in small ways, one at a time, and counts the changes that no test notices.

Run as ``python -m tooling.mutants [module …]``. A mutant is one change in one function's body. It lives
in a fork of this process, in which the function's code is exchanged and the module's tests run until
the first fails. Survivors are printed with their places; those in ``EQUIVALENT`` change nothing that
anybody could see, each with its reason.
"""

import ast
import contextlib
import copy
import importlib
import inspect
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent

TESTS = {
    "shared/learning/registers.py": [
        "tests/unit/learning/test_registers_exactly.py",
        "tests/unit/learning/test_registers.py",
    ],
    "shared/learning/grading.py": ["tests/unit/learning/test_grading.py"],
    "shared/learning/answers.py": [
        "tests/unit/learning/test_records.py",
        "tests/unit/learning/test_answers.py",
    ],
    "shared/catalog/catalog.py": ["tests/unit/test_catalog.py"],
    "shared/catalog/fresh.py": ["tests/unit/test_fresh.py", "tests/unit/test_catalog.py"],
    "shared/limits/windows.py": ["tests/unit/limits/test_windows.py", "tests/unit/limits/test_memory.py"],
    "shared/budgets/ladder.py": [
        "tests/unit/budgets/test_ladder.py",
        "tests/unit/budgets/test_memory.py",
        "tests/unit/budgets/test_prices.py",
    ],
    "shared/budgets/prices.py": ["tests/unit/budgets/test_prices.py"],
    "shared/ledger/merging.py": ["tests/unit/ledger/test_merging.py", "tests/faults/test_roll_up.py"],
    "shared/ledger/remembered.py": ["tests/unit/ledger/test_remembered.py"],
    "shared/ledger/erasing.py": ["tests/unit/ledger/test_erasing.py"],
    "shared/ledger/tombstones.py": ["tests/unit/ledger/test_tombstones.py"],
}
"""The modules, and the tests that have to notice."""

_SLOWER = "makes an equal adapter anew: slower, and nothing else"
_UNDONE = "takes the same attempt out of the sums and puts it back"
_ALWAYS_GRADED = "what a machine grades always has a credit, and never loses it"
_SHORTCUT = "a shorter way to the same attempt"
_UNREACHABLE = "one attempt at least competes, as a limit is at least 1"
_FALSY = "None is as false as False to its one caller"
_QUICKER = "decides only how quickly the same shard is found"
_HELD = "keeps tasks from being collected, which no test can wait for"
_NOT_KEPT = "that something is missing is not remembered, so there is nothing to forget"

_SPARES_READS = "spares reads that find nothing"

EQUIVALENT: dict[str, str] = {
    "shared/ledger/erasing.py Erasing.erase: "
    "always: if await self._documents.scan(shards_path(document.id), limit=1):": _SPARES_READS,
    "shared/ledger/erasing.py Erasing.erase: constant 1 of limit=1": _SPARES_READS,
    "shared/ledger/erasing.py Erasing._from_collection: always: if gone:": "spares an empty request",
    "shared/ledger/erasing.py Erasing._from_document: "
    "constant True of strict=True": "a body has as many lines as its document has parts",
    "shared/ledger/tombstones.py Tombstones.among: always first: "
    "{learner for learner in learners if self._mark(learner) in known} if known else set()": _SPARES_READS,
    "shared/ledger/merging.py Merger._distribute: "
    "always: if (assignment_id, start) in self._splits:": _QUICKER,
    "shared/ledger/merging.py Merger._distribute: always: if shard is None:": _QUICKER,
    "shared/ledger/merging.py Merger._run: never: if finishing:": _HELD,
    "shared/ledger/merging.py Merger._run: left out: await asyncio.wait(finishing)": _HELD,
    "shared/learning/registers.py Registers._apply: returns None: return False": _FALSY,
    "shared/learning/registers.py Registers._count: never: if before is attempt:": _UNDONE,
    "shared/learning/registers.py Registers._count: constant False of row.counted = False": _ALWAYS_GRADED,
    "shared/learning/registers.py Registers._is_complete: constant 2 of counted[i][2]": _ALWAYS_GRADED,
    "shared/learning/registers.py Registers.replay: always: if question in registers[s]:": _SHORTCUT,
    "shared/learning/registers.py Registers.recount: "
    "always second: attempts[0] if len(attempts) == 1 else _counting(attempts, policy)": _SHORTCUT,
    "shared/learning/registers.py Registers.recount: "
    "constant 0 of Attempt(0, '', credit, code)": "when it was made counts in no sum",
    "shared/learning/registers.py Registers._insert: always: if row is None:": "grades it twice",
    "shared/learning/registers.py Registers._enter: returns None: return False": _FALSY,
    "shared/learning/registers.py Registers._count_complete: always: if score:": "adds nothing",
    "shared/learning/registers.py Registers._count_complete: constant True of strict=True": (
        "both are as long as the questions that machines grade"
    ),
    "shared/learning/registers.py _counting: never: if len(attempts) == 1:": _SHORTCUT,
    "shared/learning/registers.py _counting: "
    "always first: found if found is not None else attempts[0]": _UNREACHABLE,
    "shared/learning/registers.py _counting: constant 0 of attempts[0] (2)": _UNREACHABLE,
    "shared/learning/answers.py read_response: always: if adapter is None:": _SLOWER,
    "shared/budgets/ladder.py _day: constant 0 of fold=0": "a midnight that comes twice ends no day earlier",
    "shared/budgets/ladder.py _day: constant 32 of days=32": "33 days end there, too",
    "shared/budgets/ladder.py _day: constant 1 of day=1 (2)": "32 days from the second end there, too",
    "shared/catalog/catalog.py Catalog.create_course: "
    "left out: self._courses.forget(course.course_id)": _NOT_KEPT,
    "shared/catalog/catalog.py Catalog.create_course: "
    "left out: self._members.forget((course.course_id, principal.uid))": _NOT_KEPT,
    "shared/catalog/catalog.py Catalog.add_assignment: "
    "left out: self._headers.forget(assignment.assignment_id)": _NOT_KEPT,
}
"""Why no test can notice, by ``module function: what was changed``."""

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitXor,
    ast.BitAnd: ast.BitOr,
}
_MOST_SECONDS = 60
_NO_MUTANT = 99


@dataclass(frozen=True)
class Mutant:
    """One changed function: its code, and all that is compiled with it."""

    module: str
    function: str
    line: int
    what: str
    code: CodeType

    @property
    def name(self) -> str:
        """What identifies it when lines move."""
        return f"{self.module} {self.function}: {self.what}"


def mutants(module: str) -> Iterator[Mutant]:
    """Every mutant of *module*, function by function."""
    tree = ast.parse((ROOT / module).read_text())
    for qualified, function in _functions(tree, ""):
        seen: Counter[str] = Counter()
        for parent, name, place in _places(function):
            node = _get(parent, name, place)
            around = ast.unparse(parent).partition("\n")[0] if isinstance(node, ast.Constant) else ""
            for change, changed in _changes(node):
                what = f"{change} of {around}" if around else change
                seen[what] += 1
                if seen[what] > 1:
                    what += f" ({seen[what]})"
                _set(parent, name, place, ast.copy_location(changed, node))
                ast.fix_missing_locations(tree)
                code = _code_of(compile(tree, str(ROOT / module), "exec"), qualified)
                yield Mutant(module, qualified, node.lineno, what, code)
                _set(parent, name, place, node)


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Any]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{child.name}", child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")


def _places(function: Any) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Where statements and expressions stand in the body of *function*: parent, field, index."""
    waiting: list[tuple[ast.AST, str, int | None]] = [
        (function, "body", place) for place in range(len(function.body))
    ]
    while waiting:
        parent, name, place = waiting.pop(0)
        node = _get(parent, name, place)
        if isinstance(node, ast.expr | ast.stmt):
            yield parent, name, place
        for field, value in ast.iter_fields(node):
            if field in {"annotation", "returns", "decorator_list"}:
                continue
            if isinstance(value, list):
                waiting += [(node, field, at) for at, each in enumerate(value) if isinstance(each, ast.AST)]
            elif isinstance(value, ast.AST):
                waiting.append((node, field, None))


def _get(parent: ast.AST, name: str, place: int | None) -> Any:
    value = getattr(parent, name)
    return value if place is None else value[place]


def _set(parent: ast.AST, name: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[place] = node


def _with(node: Any, **fields: Any) -> Any:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _changes(node: Any) -> Iterator[tuple[str, Any]]:  # noqa: C901, PLR0912  one case per kind of code
    text = ast.unparse(node).partition("\n")[0]
    match node:
        case ast.Compare(ops=[operator, *rest]) if type(operator) in _COMPARISONS:
            yield f"compares otherwise: {text}", _with(node, ops=[_COMPARISONS[type(operator)](), *rest])
        case ast.BoolOp(op=operator):
            yield f"and/or: {text}", _with(node, op=ast.Or() if isinstance(operator, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield f"without not: {text}", operand
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield f"without minus: {text}", operand
        case ast.BinOp(op=operator) if type(operator) in _OPERATORS:
            yield f"operator: {text}", _with(node, op=_OPERATORS[type(operator)]())
        case ast.AugAssign(op=operator) if type(operator) in _OPERATORS:
            yield f"operator: {text}", _with(node, op=_OPERATORS[type(operator)]())
        case ast.Constant(value=bool() as value):
            yield f"constant {value}", _with(node, value=not value)
        case ast.Constant(value=int() as value):
            yield f"constant {value}", _with(node, value=value + 1)
        case ast.IfExp():
            yield f"always first: {text}", node.body
            yield f"always second: {text}", node.orelse
        case ast.If():
            yield f"always: {text}", _with(node, test=ast.Constant(value=True))
            yield f"never: {text}", _with(node, test=ast.Constant(value=False))
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield f"returns None: {text}", _with(node, value=ast.Constant(value=None))
        case ast.Raise() | ast.AugAssign() | ast.Continue() | ast.Break():
            yield f"left out: {text}", ast.Pass()
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield f"left out: {text}", ast.Pass()


def _code_of(code: CodeType, qualified: str) -> CodeType:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            if each.co_qualname == qualified:
                return each
            if qualified.startswith(f"{each.co_qualname}."):
                with contextlib.suppress(LookupError):
                    return _code_of(each, qualified)
    raise LookupError(qualified)


def _exchange(mutant: Mutant) -> None:
    """Give the mutant's code to the function in its module."""
    found: Any = importlib.import_module(mutant.module.removesuffix(".py").replace("/", "."))
    for name in mutant.function.split("."):
        found = inspect.getattr_static(found, name)
    match found:
        case property():
            found = found.fget
        case cached_property():
            found = found.func
        case classmethod() | staticmethod():
            found = found.__func__
    found = inspect.unwrap(found)
    if not isinstance(found, FunctionType):
        message = f"{mutant.function} is no function"
        raise TypeError(message)
    found.__code__ = mutant.code


def is_noticed(mutant: Mutant) -> bool:
    """Whether a test fails, or never ends, with *mutant* in place."""
    child = os.fork()
    if child == 0:
        os.setsid()
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        try:
            _exchange(mutant)
            os._exit(_tested(mutant.module))
        finally:
            os._exit(_NO_MUTANT)
    until = time.monotonic() + _MOST_SECONDS
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            ended = os.waitstatus_to_exitcode(status)
            if ended not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}:
                message = f"{mutant.name} could not be tried: {ended}"
                raise RuntimeError(message)
            return ended != pytest.ExitCode.OK
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def _tested(module: str) -> int:
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "--hypothesis-seed=1"]
    return int(pytest.main([*options, *TESTS[module]]))


def run(modules: list[str]) -> int:
    """
    Try every mutant of *modules*, or of all.

    Returns how many nobody noticed and nothing explains, and how many explanations explain nothing.
    """
    unexplained = 0
    for module in modules or TESTS:
        # Loaded once, before the forks, so that each begins where the tests do.
        if _tested(module):
            print(f"{module}: its tests fail as it is")
            return 1
        began, count, equivalent = time.monotonic(), 0, 0
        survivors: list[Mutant] = []
        explained = {name for name in EQUIVALENT if name.startswith(f"{module} ")}
        for mutant in mutants(module):
            count += 1
            if mutant.name in EQUIVALENT:
                equivalent += 1
                explained.discard(mutant.name)
            elif not is_noticed(mutant):
                survivors.append(mutant)
                print(f"  {module}:{mutant.line}  {mutant.function}: {mutant.what}", flush=True)
        killed = count - equivalent - len(survivors)
        print(
            f"{module}: {count} mutants, {equivalent} of them equivalent; {killed} noticed, "
            f"{len(survivors)} not: {100 * killed / max(count - equivalent, 1):.1f} % "
            f"in {time.monotonic() - began:.0f} s",
            flush=True,
        )
        for name in sorted(explained):
            print(f"  explained, and no mutant any more: {name}", flush=True)
        unexplained += len(survivors) + len(explained)
    return unexplained


if __name__ == "__main__":
    sys.exit(min(run(sys.argv[1:]), 100))
