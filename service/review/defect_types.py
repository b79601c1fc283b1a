"""The types of defects that the review station offers on the keys 1 to 9."""

from __future__ import annotations

import sqlalchemy as sa

from service.state import Service
from service.store.tables import inspections

MOST = 9


def offered_types(service: Service) -> list[str]:
    """The site's own list if it has one; else what the bundle's classifier knows, then what people named most.

    Raises:
        DatabaseDown: The database does not answer.
    """
    if service.rules.defect_types:
        return list(service.rules.defect_types)
    classes = service.models.current().inspector.classes
    known = [] if classes is None else list(classes.types)
    query = (
        sa.select(inspections.c.verdict_defect)
        .where(inspections.c.verdict_defect.is_not(None))
        .group_by(inspections.c.verdict_defect)
        .order_by(sa.func.count().desc(), inspections.c.verdict_defect)
        .limit(2 * MOST)
    )
    with service.database.read() as connection:
        named = connection.execute(query).scalars().all()
    return [*known, *(name for name in named if name not in known)][:MOST]
