"""Stands in for jaxtyping where it is not installed: ``Float[Tensor, "batch 6"]`` is ``Tensor``, its shape unread."""

from typing import Any


class _Shaped:
    def __class_getitem__(cls, array_and_shape: tuple[Any, str]) -> Any:
        return array_and_shape[0]


def __getattr__(name: str) -> type[_Shaped]:
    if name.startswith("_"):
        raise AttributeError(name)
    return _Shaped
