"""What can be attached to a frozen checkpoint: it starts without changing a bit, is small, and leaves no trace."""

from .attachment import Attachment
from .comodulation import Comodulation, comodulate
from .quadratic_lift import QuadraticLift, quadratic_lift
from .read_out import gains_of
from .selectivity import Selectivity, selectivity

__all__ = ["Comodulation", "QuadraticLift", "Selectivity", "comodulate", "gains_of", "quadratic_lift", "selectivity"]

ATTACHMENTS: dict[str, type[Attachment]] = {one.kind: one for one in (QuadraticLift, Comodulation)}
"""By kind."""
