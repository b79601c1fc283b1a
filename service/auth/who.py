"""Who asks, and what that one may do."""

from __future__ import annotations

from dataclasses import dataclass

# What a person's role allows. see: images, results, pages. review: give verdicts. adjudicate: settle disagreements.
# engineer: rules, versions, exports, planted images. escape: report defects found later. manage: users and keys.
# trail: read the audit trail.
ROLES: dict[str, frozenset[str]] = {
    "inspector": frozenset({"see", "review"}),
    "senior": frozenset({"see", "review", "adjudicate"}),
    "engineer": frozenset({"see", "review", "adjudicate", "engineer", "escape"}),
    "admin": frozenset({"see", "review", "adjudicate", "engineer", "escape", "manage", "trail"}),
    "auditor": frozenset({"see", "trail"}),
}
# What a program's key may allow. inspect: send images. read: see results and images. escape: report defects found
# later. engineer: what engineers may.
SCOPES = ("inspect", "read", "escape", "engineer")
_SCOPE_ALLOWS = {"read": "see", "engineer": "engineer", "inspect": "inspect", "escape": "escape"}


@dataclass(frozen=True)
class Who:
    """A program with a key, or a person with a session.

    Attributes:
        actor: As the audit trail names it: `key:ab12`, `user:7`.
        name: Of the key or the person, for pages and for the scope of idempotency keys.
        may: What it may do.
        tools: Tools that a key may speak for; None: any.
        user_id: Of a person; None for a key.
        role: Of a person; None for a key.
        csrf: What a person's forms must carry; None for a key.
    """

    actor: str
    name: str
    may: frozenset[str]
    tools: frozenset[str] | None = None
    user_id: int | None = None
    role: str | None = None
    csrf: str | None = None


def allowed_by(scopes: list[str]) -> frozenset[str]:
    """What a key of these scopes may do."""
    return frozenset(_SCOPE_ALLOWS[scope] for scope in scopes if scope in _SCOPE_ALLOWS)
