"""
Every deployable function, by name.

A name is imported when it is asked for: one function's instance does not load the others' modules.
"""

import gc
import importlib
import os
from types import ModuleType
from typing import Any

# Pydantic asks every installed package whether it would like to change how models validate: none may, and
# asking takes long. The environment is told here, not read.
os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # noqa: TID251  # nosemgrep: environment-only-in-settings

MODULE_OF = {
    "accept_evaluation": "functions.evaluations",
    "chat": "functions.tutor",
    "clean_up": "functions.upkeep",
    "continue_erasures": "functions.erasures",
    "create_course": "functions.courses",
    "enroll_learner": "functions.courses",
    "erase_learner": "functions.erasures",
    "evaluate_answer": "functions.evaluations",
    "export_spend": "functions.spend",
    "generate_skeleton": "functions.lessons",
    "generate_step": "functions.lessons",
    "get_agreement": "functions.evaluations",
    "get_assignment": "functions.assignments",
    "get_assignment_as_of": "functions.assignments",
    "get_cost_advice": "functions.spend",
    "get_erasure": "functions.erasures",
    "get_evaluation_queue": "functions.evaluation_queue",
    "get_gradebook": "functions.assignments",
    "get_spend": "functions.spend",
    "import_assignment": "functions.assignments",
    "ingest_answers": "functions.answers",
    "list_assignments": "functions.assignments",
    "list_evaluations": "functions.evaluations",
    "merge_answers": "functions.upkeep",
    "my_results": "functions.assignments",
    "on_answer_created": "functions.answers",
    "openai_proxy": "functions.gateway",
    "override_evaluation": "functions.evaluations",
    "preview_pilot": "functions.pilots",
    "queue_evaluations": "functions.evaluation_queue",
    "reapply_erasures": "functions.erasures",
    "rebuild_assignment": "functions.assignments",
    "run_evaluation_queue": "functions.evaluation_queue",
    "run_pilot": "functions.pilots",
    "submit_answer": "functions.answers",
    "submit_answers": "functions.answers",
    "sweep_pending": "functions.upkeep",
    "switch_tutor": "functions.tutor",
    "verify_erasure": "functions.erasures",
    "verify_receipt": "functions.answers",
}

__all__ = list(MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in MODULE_OF:
        message = f"module 'main' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(_imported(MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(MODULE_OF)


def load_all() -> None:
    """Import every function, so that the registry is complete."""
    for module in sorted(set(MODULE_OF.values())):
        _imported(module)


def _imported(name: str) -> ModuleType:
    # What an import makes stays for good: the collector would look through it a hundred times, in vain.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
