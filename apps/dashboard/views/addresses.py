"""The page where the owner of an e-mail address confirms that it may get alerts: GET shows a button, POST confirms."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from apps.dashboard.access import open_page
from apps.notifications.selectors import address_of_token
from apps.notifications.services.addresses import confirm_address


@open_page("GET", "POST")
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    row = confirm_address(token=token, now=timezone.now()) if request.method == "POST" else address_of_token(token=token)
    if row is None:
        raise Http404
    return render(request, "account/confirm_address.html", {"address": row.address, "is_confirmed": row.confirmed_at is not None})
