"""What a network looked at: Grad-CAM on the axes of its input, and the test that the highlighted part matters."""

from hms_search.explain.axes import Axis, Panel
from hms_search.explain.deletion import Deletion, deletion_test
from hms_search.explain.grad_cam import Explanation, grad_cam

__all__ = ["Axis", "Deletion", "Explanation", "Panel", "deletion_test", "grad_cam"]
