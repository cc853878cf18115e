"""What forms are made of. What a field accepts is the services' to say: a rule of theirs serves as validator."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask_wtf import FlaskForm
from wtforms import Field, StringField
from wtforms.validators import StopValidation
from wtforms.widgets import PasswordInput

from app.errors import RateLimited, Refused
from app.i18n import _
from app.services import addresses, passwords

T = TypeVar("T")


def rule(check: Callable[[str], object], *, optional: bool = False) -> Callable[[Any, Any], None]:
    """A validator out of a service's own rule, so that the two never differ."""

    def validate(_form: Any, field: Field) -> None:
        text = field.data or ""
        if optional and not text.strip():
            return
        try:
            check(text)
        except Refused as refused:
            raise StopValidation(str(refused)) from None

    return validate


def given(text: str) -> None:
    """Refuse an empty field."""
    if not text.strip():
        raise Refused(_("This is required."))


NAME, ADDRESS, PASSWORD, GIVEN = (
    rule(each) for each in (addresses.clean_name, addresses.normalise, passwords.check, given)
)


class Text(StringField):
    """A line of text; what was not sent is empty."""

    data: str

    def process_formdata(self, valuelist: list[Any]) -> None:
        """Take the first value sent."""
        self.data = str(valuelist[0]) if valuelist else ""


class Password(Text):
    """Text that is not shown again."""

    widget = PasswordInput()


class RuledForm(FlaskForm):  # type: ignore[misc]
    """A form whose last word is a service's: what that refuses shows at its field."""

    status = 422
    retry_after: int | None = None

    def gives(self, act: Callable[[], T]) -> T | None:
        """Validate, then act; None, with the errors in place, when either refuses."""
        if not self.validate_on_submit():
            return None
        try:
            return act()
        except Refused as refused:
            self.blame(refused)
        except RateLimited as limited:
            self.limit(limited)
        return None

    def does(self, act: Callable[[], object]) -> bool:
        """The same for an act that gives nothing back."""
        return self.gives(lambda: act() or True) is not None

    def blame(self, refused: Refused) -> None:
        """Put a refusal at the field that it is about, else above the form."""
        if refused.field in self._fields:
            field = self._fields[refused.field]
            field.errors = [*field.errors, str(refused)]
        else:
            self.form_errors.append(str(refused))

    def limit(self, limited: RateLimited) -> None:
        """Say above the form that there were too many tries."""
        self.form_errors.append(str(limited))
        self.status, self.retry_after = 429, limited.retry_after

    @property
    def headers(self) -> dict[str, str]:
        """What the answer says beside the form."""
        return {"Retry-After": str(self.retry_after)} if self.retry_after else {}
