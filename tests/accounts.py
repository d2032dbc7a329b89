"""Accounts in the Auth emulator."""

import httpx

AUTH = "identitytoolkit.googleapis.com/v1"


class Auth:
    """The Auth emulator, as the Admin SDK speaks to it."""

    def __init__(self, host, project):
        self._host, self._project = host, project
        self._http = httpx.Client(headers={"Authorization": "Bearer owner"}, timeout=30)

    def _post(self, path, body):
        response = self._http.post(f"http://{self._host}/{AUTH}/{path}", json=body)
        assert response.is_success, response.text
        return response.json()

    def close(self):
        self._http.close()

    def account(self, uid):
        name = "".join(filter(str.isalnum, uid))
        self._post(f"projects/{self._project}/accounts", {"localId": uid, "email": f"{name}@example.com"})

    def change(self, uid, **changes):
        self._post(f"projects/{self._project}/accounts:update", {"localId": uid, **changes})

    def delete(self, uid):
        self._post(f"projects/{self._project}/accounts:delete", {"localId": uid})

    def uids(self):
        found = self._post(f"projects/{self._project}/accounts:query", {})
        return {each["localId"] for each in found.get("userInfo", [])}
