"""The Flask extensions, unbound; `create_app` binds them."""

from typing import Any, cast

from flask import current_app
from flask_babel import Babel
from flask_mail import Mail
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from flask_wtf import CSRFProtect
from htmx_flask import Htmx
from sqlalchemy import Engine, MetaData
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """What every model is built on: constraints carry predictable names, so that migrations can find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class EndingSession(Session):
    """A session that can always be closed, also when its database went away: else the answer, made by then, were lost."""

    def get_bind(self, *_args: Any, **_named: Any) -> Engine:
        """Return the engine for reading, of which `app.database.transaction` makes one for writing while it lasts."""
        return cast("Engine", current_app.extensions["gatehouse_reading"])

    def close(self) -> None:
        try:
            super().close()
        except SQLAlchemyError:
            self.invalidate()


db = SQLAlchemy(model_class=Base, session_options={"class_": EndingSession})
csrf = CSRFProtect()
mail = Mail()  # what app.mailer.smtp hardens
htmx = Htmx()
migrate = Migrate()
babel = Babel()
