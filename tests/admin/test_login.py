"""Who gets in, for how long, and where to."""

from tests.admin.conftest import Login


async def test_the_login_leads_to_the_overview(login: Login) -> None:
    for role in ("viewer", "operator", "admin"):
        visitor = await login(role)
        page = await visitor.get("/overview")
        assert page.status_code == 200
        assert f"<small>{role}</small>" in page.text
