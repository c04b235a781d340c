"""Password reset: the e-mail with the link for choosing a new password."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import send_mail
from django.db import transaction
from django.template.loader import render_to_string
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from apps.core.throttle import Limit, allow_attempt
from apps.core.wake import wake
from apps.orgs.actors import Actor
from apps.orgs.audit import record_audit_entry
from apps.orgs.emails import normalized_email
from apps.orgs.models import Project, User

RESET_TASK = "pipeline.send_password_reset"
_PER_ACCOUNT = Limit("reset", 3)


def request_password_reset(*, email: str) -> None:
    """Queue the e-mail. A worker looks the account up, so that the response time does not reveal whether it exists."""
    wake(RESET_TASK, email=normalized_email(email)[:254])


def send_password_reset(*, email: str) -> bool:
    """Send the e-mail if the account exists, is active and is within its limit. Returns whether it was sent."""
    user = User.objects.filter(email=normalized_email(email), is_active=True).first()
    if user is None or not user.has_usable_password() or not allow_attempt(_PER_ACCOUNT, str(user.pk)):
        return False
    context = {
        "email": user.email,
        "public_url": settings.PUBLIC_URL,
        "uid": urlsafe_base64_encode(force_bytes(user.pk)),
        "token": default_token_generator.make_token(user),
    }
    subject = render_to_string("account/reset_subject.txt").strip()
    send_mail(subject, render_to_string("account/reset_mail.txt", context), None, [user.email])
    return True


@transaction.atomic
def reset_password(*, actor: Actor, user: User, password: str, now: datetime) -> None:
    """Set a password that was validated; recorded in one project of each organization of the user. Sessions end."""
    user.set_password(password)
    user.save(update_fields=["password"])
    projects = Project.objects.filter(organization__memberships__user=user).order_by("organization_id", "created_at", "pk")
    for project in projects.distinct("organization_id"):
        record_audit_entry(actor=actor, action="user.password_reset", subject=project, now=now, after={"email": user.email})
