"""What can be attached to a frozen checkpoint: it starts without changing a bit, is small, and leaves no trace."""

from .attachment import Attachment
from .comodulation import Comodulation, comodulate
from .quadratic_lift import QuadraticLift, quadratic_lift

__all__ = ["Comodulation", "QuadraticLift", "comodulate", "quadratic_lift"]

ATTACHMENTS: dict[str, type[Attachment]] = {one.kind: one for one in (QuadraticLift, Comodulation)}
"""By kind."""
