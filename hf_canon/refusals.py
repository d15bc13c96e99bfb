"""Which errors are sentences of this package for whoever caused them, and not defects."""


def raised_by_us(error: BaseException) -> bool:
    """Whether this package raised it, and it is therefore a sentence for the user."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_globals.get("__name__", "").partition(".")[0] == "hf_canon"
