"""What can be attached to a frozen checkpoint: it starts without changing a bit, is small, and leaves no trace."""

from .quadratic_lift import QuadraticLift, quadratic_lift

__all__ = ["QuadraticLift", "quadratic_lift"]
