"""First setup, sign-in, sign-out and the theme. Password resets are Django's own views, with a rate limit."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import login, logout
from django.contrib.auth import views as auth
from django.contrib.auth.forms import PasswordResetForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from apps.core.client_address import client_address
from apps.core.errors import FieldError
from apps.core.throttle import allow_attempt
from apps.dashboard.access import open_page, page, posted, safe_next
from apps.dashboard.forms.account import SignInForm, WelcomeForm
from apps.orgs.actors import user_actor
from apps.orgs.password_reset import request_password_reset, reset_password
from apps.orgs.selectors import has_demo, is_set_up, projects_of
from apps.orgs.services import SetUpError, set_up
from apps.orgs.sign_in import PER_ADDRESS, TooManyTriesError, check_password

_TOO_MANY = gettext_lazy("Too many attempts. Try again in a minute.")


@open_page("GET", "POST")
def welcome(request: HttpRequest) -> HttpResponse:
    """Set up the installation: an owner, an organization and a project. Continues with the first check."""
    if is_set_up():
        return redirect("home")
    form = WelcomeForm(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            user, project = set_up(**form.cleaned_data, now=timezone.now())
        except SetUpError:
            return redirect("sign-in")
        except FieldError as error:
            form.add_error(error.field, error.sentence)
        else:
            login(request, user, backend="django.contrib.auth.backends.ModelBackend")
            return redirect("check-new", project.pk)
    return render(request, "account/welcome.html", {"form": form, "has_demo": has_demo()}, status=422 if form.errors else 200)


@open_page("GET", "POST")
def sign_in(request: HttpRequest) -> HttpResponse:
    form = SignInForm(posted(request))
    there = safe_next(request) or "/"
    if request.user.is_authenticated:
        return HttpResponseRedirect(there)
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            user = check_password(request, **form.cleaned_data)
        except TooManyTriesError:
            form.add_error(None, _TOO_MANY)
            status = 429
        else:
            if user is not None:
                login(request, user)
                return HttpResponseRedirect(there)
            form.add_error(None, _("E-mail or password is wrong."))
    context = {"form": form, "next": there, "is_set_up": is_set_up()}
    return render(request, "account/sign_in.html", context, status=422 if form.errors and status == 200 else status)


@open_page("POST")
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("sign-in")


@page()
def nowhere(request: HttpRequest) -> HttpResponse:
    """Show a page to a signed-in user who can see no project."""
    if projects_of(user=request.user):  # type: ignore[arg-type]  # signed in
        return redirect("home")
    return render(request, "account/nowhere.html", {})


@open_page("POST")
def theme(request: HttpRequest) -> HttpResponse:
    """Set the theme (light, dark or that of the system), for browsers without JavaScript."""
    chosen = request.POST.get("theme", "")
    there = request.headers.get("Referer", "")
    is_ours = url_has_allowed_host_and_scheme(there, {request.get_host()}, require_https=request.is_secure())
    response = redirect(there if is_ours else "/")
    if chosen in ("light", "dark", "system"):
        response.set_cookie("theme", chosen, max_age=31_536_000, samesite="Lax", secure=request.is_secure())
    return response


class _QueuedResetForm(PasswordResetForm):
    """Django's form, except that a worker looks the account up and sends the e-mail: neither the response nor its time
    reveals whether the account exists.
    """

    def save(self, *_arguments: Any, **_options: Any) -> None:
        request_password_reset(email=self.cleaned_data["email"])


@method_decorator(never_cache, name="dispatch")
class PasswordReset(auth.PasswordResetView):
    http_method_names = ["get", "head", "post"]
    template_name = "account/reset.html"
    form_class = _QueuedResetForm
    success_url = reverse_lazy("password-reset-sent")

    def form_valid(self, form: Any) -> HttpResponse:
        if not allow_attempt(PER_ADDRESS, client_address(self.request)):
            form.add_error(None, _TOO_MANY)
            return self.form_invalid(form)
        return super().form_valid(form)


@method_decorator(never_cache, name="dispatch")
class PasswordResetSent(auth.PasswordResetDoneView):
    http_method_names = ["get", "head"]
    template_name = "account/reset_sent.html"


class PasswordChoose(auth.PasswordResetConfirmView):
    http_method_names = ["get", "head", "post"]
    template_name = "account/choose.html"
    success_url = reverse_lazy("sign-in")

    def form_valid(self, form: Any) -> HttpResponse:
        reset_password(
            actor=user_actor(form.user, self.request.META),
            user=form.user,
            password=form.cleaned_data["new_password1"],
            now=timezone.now(),
        )
        self.request.session.pop(auth.INTERNAL_RESET_SESSION_TOKEN, None)
        return redirect(self.get_success_url())
