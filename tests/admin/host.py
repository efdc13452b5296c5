"""A host that has an SQLAdmin of its own, with a page and a login."""

from fastapi import FastAPI, Request
from sqladmin import Admin, ModelView
from sqladmin.authentication import AuthenticationBackend
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.admin.serving import PASSWORD


class Base(DeclarativeBase):
    pass


class Parcel(Base):
    __tablename__ = "parcel"
    id: Mapped[int] = mapped_column(primary_key=True)


class ParcelAdmin(ModelView, model=Parcel):
    """A page of the host's own."""


class HostLogin(AuthenticationBackend):
    """A login as hosts have it, with a session of the same name as others have."""

    async def login(self, request: Request) -> bool:
        form = await request.form()
        if form["password"] == PASSWORD:
            request.session["user_id"] = str(form["username"])
        return form["password"] == PASSWORD

    async def logout(self, request: Request) -> bool:
        request.session.clear()
        return True

    async def authenticate(self, request: Request) -> bool:
        return "user_id" in request.session


def host_admin(app: FastAPI, login: AuthenticationBackend | None) -> Admin:
    """The host's own SQLAdmin."""
    admin = Admin(
        app, create_engine("sqlite://"), title="Of the host", authentication_backend=login
    )
    admin.add_view(ParcelAdmin)
    return admin
