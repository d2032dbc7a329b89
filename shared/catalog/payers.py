"""Who pays for what is asked of a model about a course."""

from shared.budgets.base import Payer
from shared.catalog.catalog import Catalog
from shared.identity.principal import Principal


async def payer_in(catalog: Catalog, principal: Principal, course_id: str) -> Payer:
    """The payer of a call about a course that *principal* has a part in."""
    return await payer_for(catalog, principal.uid, course_id)


async def payer_for(catalog: Catalog, uid: str, course_id: str) -> Payer:
    """
    The payer of what is done for *uid*, who has a part in a course: they, their class there, the course.

    A class is one of a course's, ``{courseId}.{classId}`` in budgets: two courses may use one id.
    """
    class_id = await catalog.class_of(uid, course_id)
    return Payer(uid, course_id, class_id=f"{course_id}.{class_id}" if class_id else "")
