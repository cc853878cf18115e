"""What services raise: each carries one sentence fit for a person."""


class DomainError(Exception):
    """Something was asked that can't be done; `str()` says why in one sentence."""


class NotFound(DomainError):
    """There is no such thing, or it belongs to somebody else: the two look alike."""

    def __init__(self, message: str = "There is nothing here.") -> None:
        super().__init__(message)


class Refused(DomainError):
    """What was given can't be accepted; `field` names the form field at fault, if one is."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Conflict(DomainError):
    """The thing has moved on, so that this can't be done to it any more."""


class Repeated(Conflict):
    """The very same form was acted on already, so that it is not done twice."""


class Forbidden(DomainError):
    """The person is known but their role does not allow this."""


class RateLimited(DomainError):
    """Too many, too soon; `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ProviderFailed(DomainError):
    """An app's own server did not do its part; `code` is one of ours."""

    def __init__(self, message: str, *, code: str = "error") -> None:
        super().__init__(message)
        self.code = code
